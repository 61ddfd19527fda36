"""The figures of one evaluation, as lines for people and as data for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


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


class Counted(Protocol):
    """What counting without data brings."""

    @property
    def macs(self) -> dict[str, int]:
        """MACs by path."""
        ...

    @property
    def target_macs(self) -> int | None:
        """What the budget aims at, if there is one."""
        ...

    @property
    def params_total(self) -> int:
        """Number of parameters."""
        ...


def static_figures(costs: Counted) -> list[tuple[str, str]]:
    """GMACs of every path, the budget's target and the parameters, as a user reads them."""
    lines = [(path, f"{macs / 1e9:.5g}") for path, macs in costs.macs.items()]
    if costs.target_macs is not None:
        lines.append(("target of the budget", f"{costs.target_macs / 1e9:.5g}"))
    return [*lines, ("parameters (M)", f"{costs.params_total / 1e6:.3f}")]


def evaluation_figures(metrics: Mapping[str, float], found: Evaluated) -> list[tuple[str, str]]:
    """Name and value of every figure, in the order in which people ask for them."""
    lines = [
        ("top-1 (%)", f"{metrics['top1_percent']:.2f}"),
        ("top-5 (%)", f"{metrics['top5_percent']:.2f}"),
    ]
    lines += executed_figures(metrics, found)
    return [
        *lines,
        ("latency (ms per image), this / PVTv2", _pair(metrics, "latency_ms_per_image", "base_latency_ms_per_image")),
    ]


def executed_figures(metrics: Mapping[str, float], found: Evaluated) -> list[tuple[str, str]]:
    """The figures of what was executed: MACs over the images, parameters used, kept ratios and open gates."""
    lines = [
        ("images", str(found.num_images)),
        ("GMACs per image, mean ± SD", f"{metrics['gmacs_mean']:.5g} ± {metrics['gmacs_sd']:.2g}"),
        ("GMACs, 5th / 50th / 95th percentile", " / ".join(f"{metrics[f'gmacs_p{q}']:.5g}" for q in (5, 50, 95))),
        ("MACs relative to PVTv2", f"{metrics['gmacs_mean'] / metrics['base_gmacs']:.4f}"),
        ("parameters (M), total / valid", f"{metrics['params_total_m']:.3f} / {metrics['params_valid_m']:.3f}"),
    ]
    lines += [
        (f"kept ratio, scale 1/{4 * 2**i}, stages 1 … {len(row)}", _ratios(row))
        for i, row in enumerate(found.kept_ratio)
    ]
    lines += [
        (f"column gates open, 1/{4 * 2**i} → 1/{8 * 2**i}, columns 0 … {len(row) - 1}", _ratios(row))
        for i, row in enumerate(found.column_open_ratio)
    ]
    return lines


def evaluation_json(title: str, metrics: Mapping[str, float], found: Evaluated) -> dict[str, Any]:
    """The same at full precision."""
    return {
        "title": title,
        "num_images": found.num_images,
        "metrics": dict(metrics),
        "kept_ratio": found.kept_ratio,
        "column_open_ratio": found.column_open_ratio,
    }


def _pair(metrics: Mapping[str, float], first: str, second: str) -> str:
    return f"{metrics[first]:.3f} / {metrics[second]:.3f}" if first in metrics else "—"


def _ratios(row: Sequence[float]) -> str:
    return "  ".join(f"{value:.3f}" for value in row)
