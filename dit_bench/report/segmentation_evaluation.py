"""The figures of one evaluation of a segmentation network, as lines for people and as data for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dit_bench.report.evaluation import Evaluated, executed_figures, latency_figure
from dit_bench.report.numbers import MISSING

CLASS_HEADINGS = ("class", "name", "IoU (%)", "accuracy (%)")
_FIGURES = {
    "mIoU (%), classes in truth or prediction": "miou_percent",
    "mIoU (%), all classes, 0 for an absent one": "miou_all_classes_percent",
    "pixel accuracy (%)": "pixel_accuracy_percent",
    "mean class accuracy (%)": "class_accuracy_percent",
}


def segmentation_figures(metrics: Mapping[str, float], found: Evaluated) -> list[tuple[str, str]]:
    """Name and value of every figure, in the order in which people ask for them."""
    lines = [(label, _percent(metrics.get(name))) for label, name in _FIGURES.items()]
    return [*lines, *executed_figures(metrics, found), latency_figure(metrics)]


def class_cells(
    class_names: Sequence[str], ious: Sequence[float | None], accuracies: Sequence[float | None]
) -> list[tuple[str, ...]]:
    """One line per class, — for a class that does not occur; figures are percentages."""
    return [
        (str(number), name, _percent(iou), _percent(accuracy))
        for number, (name, iou, accuracy) in enumerate(zip(class_names, ious, accuracies, strict=True))
    ]


def segmentation_json(
    title: str,
    split: str,
    metrics: Mapping[str, float],
    found: Evaluated,
    class_names: Sequence[str],
    ious: Sequence[float | None],
    accuracies: Sequence[float | None],
) -> dict[str, Any]:
    """The same at full precision, with the figures of every class."""
    return {
        "title": title,
        "split": split,
        "num_images": found.num_images,
        "metrics": dict(metrics),
        "kept_ratio": found.kept_ratio,
        "column_open_ratio": found.column_open_ratio,
        "per_class": [
            {"class": number, "name": name, "iou_percent": iou, "accuracy_percent": accuracy}
            for number, (name, iou, accuracy) in enumerate(zip(class_names, ious, accuracies, strict=True))
        ],
    }


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"
