"""Names of the figures that a run is measured by; claims and run records use the same ones."""

from typing import Literal, get_args

from dit_bench.recipes.lineage import is_plain_vit
from dit_bench.recipes.settings import RunSettings, Task

MetricName = Literal[
    "top1_percent",
    "top5_percent",
    # COCO's figures of boxes and of masks: average precision over IoU 0.50 … 0.95, at one IoU, by size of the object's
    # mask; average recall with 1, 10 and 100 detections per class and image, and by size.
    "box_ap_percent",
    "box_ap50_percent",
    "box_ap75_percent",
    "box_ap_small_percent",
    "box_ap_medium_percent",
    "box_ap_large_percent",
    "box_ar1_percent",
    "box_ar10_percent",
    "box_ar100_percent",
    "box_ar_small_percent",
    "box_ar_medium_percent",
    "box_ar_large_percent",
    "mask_ap_percent",
    "mask_ap50_percent",
    "mask_ap75_percent",
    "mask_ap_small_percent",
    "mask_ap_medium_percent",
    "mask_ap_large_percent",
    "mask_ar1_percent",
    "mask_ar10_percent",
    "mask_ar100_percent",
    "mask_ar_small_percent",
    "mask_ar_medium_percent",
    "mask_ar_large_percent",
    # Intersection over union, mean over the classes that occur in truth or prediction of the whole set, or over all of
    # them with 0 for a class that does not occur; right pixels over labelled ones, of the set and mean over classes.
    "miou_percent",
    "miou_all_classes_percent",
    "pixel_accuracy_percent",
    "class_accuracy_percent",
    "gmacs_mean",
    "gmacs_sd",
    "gmacs_p5",
    "gmacs_p50",
    "gmacs_p95",
    # Of pruned plain ViTs, counted as their papers do, with the heads that decide and without them.
    "fvcore_gmacs_mean",
    "fvcore_gmacs_without_aux_mean",
    "base_gmacs",
    "fully_gmacs",
    "params_total_m",
    "params_valid_m",
    "latency_ms_per_image",
    "loss_final",
    "images_seen",
    "train_seconds",
]
METRIC_NAMES: tuple[str, ...] = get_args(MetricName)


def is_time(metric: str) -> bool:
    """Whether a figure of a run is a time, which no two executions share."""
    return "latency" in metric or metric.split(".")[-1].endswith("seconds")


MAIN_METRICS: dict[Task, MetricName] = {
    "classification": "top1_percent",
    "detection": "box_ap_percent",
    "segmentation": "miou_percent",
}
"""The figure of merit by which runs of a task are listed."""
MAIN_METRIC_NAMES = {"top1_percent": "top-1", "box_ap_percent": "box AP", "miou_percent": "mIoU"}


def base_name(settings: RunSettings) -> str:
    """What `base_gmacs` and `base_latency_ms_per_image` of a run are those of."""
    return "the unpruned network" if is_plain_vit(settings) else "PVTv2"
