"""The figures of one evaluation, as lines for people and as data for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dit_bench.report.numbers import MISSING
from dit_bench.report.per_class import ClassScore, per_class_json
from dit_bench.report.printed_accuracy import Conditions, PrintedComparison

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""What every paper here subtracts; another mean is worth a word."""


class Evaluated(Protocol):
    """What an evaluation brings beside its metrics."""

    @property
    def num_images(self) -> int:
        """Images evaluated."""
        ...

    @property
    def kept_ratio(self) -> list[list[float]]:
        """Mean kept tokens over all tokens, (N scales, M stages)."""
        ...

    @property
    def column_open_ratio(self) -> list[list[float]]:
        """Share of images whose column gate was open, (N - 1, M + 1)."""
        ...


def evaluation_title(title: str, conditions: Conditions) -> str:
    """A result's title; on an image folder with protocol, crop, input size, and how many classes and images it has."""
    if conditions.crop_fraction is None:
        return title
    protocol = _protocol_text(conditions)
    return f"{title}, {protocol}; {_classes_text(conditions)}, {conditions.num_images:,} images"


def evaluation_figures(
    metrics: Mapping[str, float],
    found: Evaluated,
    conditions: Conditions,
    printed: PrintedComparison | None = None,
) -> list[tuple[str, str]]:
    """Name and value of every figure, in the order in which people ask for them."""
    lines = []
    if conditions.crop_fraction is not None:
        lines += [("evaluated", f"{conditions.split}, {_protocol_text(conditions)}")]
        lines += [("classes", f"{_classes_text(conditions)}, {conditions.num_images:,} images, {_labels(conditions)}")]
    lines.append(("top-1 (%)", f"{metrics['top1_percent']:.2f}"))
    if printed is not None:
        lines.append(("printed top-1 (%)", printed.text))
    if "top1_present_percent" in metrics:
        name = f"top-1 (%) choosing among the {conditions.num_present} classes present"
        lines.append((name, f"{metrics['top1_present_percent']:.2f}"))
    lines.append(("top-5 (%)", f"{metrics['top5_percent']:.2f}"))
    # Metrics of other packages are called <metric>.<figure>, ours have no dot.
    lines += [(name, f"{value:.5g}") for name, value in metrics.items() if "." in name]
    return [*lines, *executed_figures(metrics, found), latency_figure(metrics)]


def latency_figure(metrics: Mapping[str, float], base: str = "PVTv2", per: str = "image") -> tuple[str, str]:
    """Milliseconds per image, or what the network runs on, beside those of what it saves against, where there is it."""
    if "latency_ms_per_image" in metrics and "base_latency_ms_per_image" not in metrics:
        return f"latency (ms per {per})", f"{metrics['latency_ms_per_image']:.3f}"
    pair = _pair(metrics, "latency_ms_per_image", "base_latency_ms_per_image")
    return f"latency (ms per {per}), this / {base}", pair


def _protocol_text(conditions: Conditions) -> str:
    protocol = f"protocol {conditions.protocol}" if conditions.protocol else "the recipe's evaluation"
    side_px = conditions.image_size_px
    crop = f"crop fraction {conditions.crop_fraction:g}, {conditions.interpolation}, input {side_px}x{side_px}"
    if conditions.mean != IMAGENET_MEAN:
        crop += f", mean {', '.join(f'{value:g}' for value in conditions.mean)}"
    return f"{protocol}: {crop}"


def _classes_text(conditions: Conditions) -> str:
    if conditions.num_present == conditions.num_classes:
        return f"all {conditions.num_classes} classes"
    return f"{conditions.num_present} of {conditions.num_classes} classes"


def _labels(conditions: Conditions) -> str:
    return "numbered by synset as in ImageNet" if conditions.by_synset else "numbered in the data set's own order"


def executed_figures(metrics: Mapping[str, float], found: Evaluated) -> list[tuple[str, str]]:
    """The figures of what was executed: MACs over the images, parameters used, kept ratios and open gates.

    A network without a routing grid has no PVTv2 beside it (`base_gmacs`) and no ratios.
    """
    routed = "base_gmacs" in metrics
    lines = [("images", str(found.num_images))]
    if "images_unreadable" in metrics:
        lines.append(("images that could not be read, counted as wrong", f"{metrics['images_unreadable']:.0f}"))
    lines += distribution_figures(metrics, "image")
    if routed:
        lines.append(("MACs relative to PVTv2", f"{metrics['gmacs_mean'] / metrics['base_gmacs']:.4f}"))
    lines.append(
        ("parameters (M), total / valid", f"{metrics['params_total_m']:.3f} / {metrics['params_valid_m']:.3f}")
    )
    if not routed:
        return lines
    lines += [
        (f"kept ratio, scale 1/{4 * 2**i}, stages 1 … {len(row)}", ratios_text(row))
        for i, row in enumerate(found.kept_ratio)
    ]
    lines += [
        (f"column gates open, 1/{4 * 2**i} → 1/{8 * 2**i}, columns 0 … {len(row) - 1}", ratios_text(row))
        for i, row in enumerate(found.column_open_ratio)
    ]
    return lines


def distribution_figures(metrics: Mapping[str, float], per: str) -> list[tuple[str, str]]:
    """GMACs over the images: mean, spread, percentiles."""
    percentiles = " / ".join(f"{metrics[f'gmacs_p{q}']:.5g}" for q in (5, 50, 95))
    return [
        (f"GMACs per {per}, mean ± SD", f"{metrics['gmacs_mean']:.5g} ± {metrics['gmacs_sd']:.2g}"),
        ("GMACs, 5th / 50th / 95th percentile", percentiles),
    ]


def evaluation_json(
    title: str,
    metrics: Mapping[str, float],
    found: Evaluated,
    conditions: Conditions,
    printed: PrintedComparison | None,
    per_class: Sequence[ClassScore],
) -> dict[str, Any]:
    """The same at full precision, with the scores of every class."""
    return {
        "title": title,
        "split": conditions.split,
        "protocol": conditions.protocol,
        "crop_fraction": conditions.crop_fraction,
        "image_size_px": conditions.image_size_px,
        "num_images": found.num_images,
        "num_classes": conditions.num_classes,
        "num_present": conditions.num_present,
        "labels_by_synset": conditions.by_synset,
        "metrics": dict(metrics),
        "printed_top1": None if printed is None else printed.as_json(),
        "kept_ratio": found.kept_ratio,
        "column_open_ratio": found.column_open_ratio,
        "per_class": per_class_json(per_class),
    }


def dense_json(
    title: str, split: str, metrics: Mapping[str, float], found: Evaluated, per_class: list[dict[str, Any]]
) -> dict[str, Any]:
    """One evaluation of dense prediction at full precision, with the figures of every class."""
    return {
        "title": title,
        "split": split,
        "num_images": found.num_images,
        "metrics": dict(metrics),
        "kept_ratio": found.kept_ratio,
        "column_open_ratio": found.column_open_ratio,
        "per_class": per_class,
    }


def percent_text(value: float | None) -> str:
    """A percentage, — where there is none."""
    return MISSING if value is None else f"{value:.2f}"


def _pair(metrics: Mapping[str, float], first: str, second: str) -> str:
    return f"{metrics[first]:.3f} / {metrics[second]:.3f}" if first in metrics else "—"


def ratios_text(row: Sequence[float]) -> str:
    """Shares side by side."""
    return "  ".join(f"{value:.3f}" for value in row)
