"""The figures of one evaluation of a detector, as lines for people and as data for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dit_bench.report.evaluation import Evaluated, executed_figures, latency_figure, percent_text

CLASS_HEADINGS = ("category", "name", "box AP (%)", "mask AP (%)")
_FIGURES = {
    "AP": "ap",
    "AP50 / AP75": "ap50 ap75",
    "AP small / medium / large": "ap_small ap_medium ap_large",
    "AR with 1 / 10 / 100 detections": "ar1 ar10 ar100",
    "AR small / medium / large": "ar_small ar_medium ar_large",
}


def detection_figures(metrics: Mapping[str, float], found: Evaluated) -> list[tuple[str, str]]:
    """Name and value of every figure, in the order in which people ask for them; — where no object counts."""
    lines = []
    for kind in ("box", "mask"):
        if not any(name.startswith(f"{kind}_") for name in metrics):
            continue
        for label, names in _FIGURES.items():
            values = [metrics.get(f"{kind}_{name}_percent") for name in names.split()]
            text = " / ".join(percent_text(value) for value in values)
            lines.append((f"{kind} {label} (%)", text))
    return [*lines, *executed_figures(metrics, found), latency_figure(metrics)]


def class_cells(
    class_names: Mapping[int, str], boxes: Mapping[int, float | None], masks: Mapping[int, float | None] | None
) -> list[tuple[str, ...]]:
    """One line per category of the data set, by id."""
    return [
        (str(category), name, percent_text(boxes[category]), percent_text(None if masks is None else masks[category]))
        for category, name in class_names.items()
    ]


def class_json(
    class_names: Mapping[int, str], boxes: Mapping[int, float | None], masks: Mapping[int, float | None] | None
) -> list[dict[str, Any]]:
    """The same at full precision."""
    return [
        {
            "category_id": category,
            "name": name,
            "box_ap_percent": boxes[category],
            "mask_ap_percent": None if masks is None else masks[category],
        }
        for category, name in class_names.items()
    ]
