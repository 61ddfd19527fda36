"""The figures of merit that papers print, and which of them a table has."""

from collections.abc import Collection

from dit_bench.recipes.metrics import MAIN_METRICS
from dit_bench.recipes.settings import Task
from dit_bench.report.inputs import Quality

QUALITIES: tuple[Quality, ...] = (
    Quality(),
    Quality("box_ap_percent", "box_ap_difference", "Box AP (%)"),
    Quality("box_ap50_percent", None, "Box AP50 (%)"),
    Quality("box_ap75_percent", None, "Box AP75 (%)"),
    Quality("box_ap_small_percent", None, "Box AP small (%)"),
    Quality("box_ap_medium_percent", None, "Box AP medium (%)"),
    Quality("box_ap_large_percent", None, "Box AP large (%)"),
    Quality("mask_ap_percent", "mask_ap_difference", "Mask AP (%)"),
    Quality("mask_ap50_percent", None, "Mask AP50 (%)"),
    Quality("mask_ap75_percent", None, "Mask AP75 (%)"),
    Quality("miou_percent", "miou_difference", "mIoU (%)"),
    Quality("latency_ms_per_image", None, "Latency (ms/image)", judged=False),
)
"""In the order of columns; the first one that a table prints is what its rows are compared by."""


def main_quality(printed: Collection[str], task: Task) -> Quality:
    """What rows are compared by, given the keys of the printed figures; the task's own figure if none is printed."""
    named = [quality for quality in QUALITIES if quality.judged and quality.metric in printed]
    return named[0] if named else next(quality for quality in QUALITIES if quality.metric == MAIN_METRICS[task])


def further_qualities(printed: Collection[str], main: Quality) -> list[Quality]:
    """What else is printed."""
    return [quality for quality in QUALITIES if quality.metric in printed and quality != main]
