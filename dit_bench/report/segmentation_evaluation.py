"""The figures of one evaluation of a segmentation network, as lines for people and as data for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dit_bench.report.evaluation import (
    Evaluated,
    distribution_figures,
    executed_figures,
    latency_figure,
    percent_text,
    ratios_text,
)

CLASS_HEADINGS = ("class", "name", "IoU (%)", "accuracy (%)")
_FIGURES = {
    "mIoU (%), classes in truth or prediction": "miou_percent",
    "mIoU (%), all classes, 0 for an absent one": "miou_all_classes_percent",
    "pixel accuracy (%)": "pixel_accuracy_percent",
    "mean class accuracy (%)": "class_accuracy_percent",
}


def segmentation_figures(metrics: Mapping[str, float], found: Evaluated) -> list[tuple[str, str]]:
    """Name and value of every figure, in the order in which people ask for them."""
    lines = [(label, percent_text(metrics.get(name))) for label, name in _FIGURES.items()]
    if "windows_per_image" in metrics:
        base, per = "the unpruned network", "window"
        return [*lines, *pruned_figures(metrics, found), latency_figure(metrics, base, per)]
    return [*lines, *executed_figures(metrics, found), latency_figure(metrics)]


def pruned_figures(metrics: Mapping[str, float], found: Evaluated) -> list[tuple[str, str]]:
    """What a plain ViT executed on the windows of its test, by our counting and its paper's; live tokens."""
    (live,) = found.kept_ratio
    as_printed, last_head = metrics["fvcore_gmacs_mean"], metrics["fvcore_gmacs_without_aux_mean"]
    return [
        ("images", str(found.num_images)),
        ("windows per image, mean", f"{metrics['windows_per_image']:.4g}"),
        *distribution_figures(metrics, "window"),
        ("MACs relative to the unpruned network", f"{metrics['gmacs_mean'] / metrics['base_gmacs']:.4f}"),
        (
            "GMACs per window as the paper counts them, with / without auxiliary heads",
            f"{as_printed:.5g} / {last_head:.5g}",
        ),
        ("parameters (M)", f"{metrics['params_total_m']:.3f}"),
        (f"tokens still live, stages 1 … {len(live)}", ratios_text(live)),
    ]


def class_cells(
    class_names: Sequence[str], ious: Sequence[float | None], accuracies: Sequence[float | None]
) -> list[tuple[str, ...]]:
    """One line per class, — for a class that does not occur; figures are percentages."""
    return [
        (str(number), name, percent_text(iou), percent_text(accuracy))
        for number, (name, iou, accuracy) in enumerate(zip(class_names, ious, accuracies, strict=True))
    ]


def class_json(
    class_names: Sequence[str], ious: Sequence[float | None], accuracies: Sequence[float | None]
) -> list[dict[str, Any]]:
    """The same at full precision."""
    return [
        {"class": number, "name": name, "iou_percent": iou, "accuracy_percent": accuracy}
        for number, (name, iou, accuracy) in enumerate(zip(class_names, ious, accuracies, strict=True))
    ]
