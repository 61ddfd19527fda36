"""Names of the figures that a run is measured by; claims and run records use the same ones."""

from typing import Literal, get_args

MetricName = Literal[
    "top1_percent",
    "top5_percent",
    "gmacs_mean",
    "gmacs_sd",
    "gmacs_p5",
    "gmacs_p50",
    "gmacs_p95",
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
