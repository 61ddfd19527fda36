"""What counting a row without data brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dit_bench.cost.formulas import Grid
from dit_bench.errors import UsageError
from dit_bench.recipes.schema import Stage


@dataclass(frozen=True)
class StaticCosts:
    """Costs of one row at one input size, in MACs, and its parameters."""

    image_size: Grid
    params_total: int | None = None
    params_trainable: int | None = None
    """Those that ask for gradients: detectors on CNNs leave the first layers frozen."""
    params_layers: int | None = None
    """Those of convolutions, linear layers and batch norms alone, where backbone and head were counted."""
    macs: dict[str, int] = field(default_factory=dict)
    """By convention; empty for a routed model."""
    paths: dict[str, int] = field(default_factory=dict)
    """Of a routed model, convention `matmul`: what stands in the keys is what a user reads."""
    path_as_printed: str | None = None
    """The path whose cost a routed row prints, if no image decides it."""
    target_macs: int | None = None
    """mu · C_base, where gates are learned or tokens selected."""
    stages: Sequence[Stage] = ()
    """Of a pyramid without routing, as it was built."""
    problem: str = ""
    """Why nothing was counted."""


def impossible_size(name: str, image_size: Grid, error: Exception) -> UsageError:
    """The refusal of an input that a model cannot take."""
    reason = str(error).strip().split("\n")[0].rstrip(".") or "its layers do not fit"
    return UsageError(
        f"{name} cannot take an input of {image_size[0]}x{image_size[1]} pixels: {reason}",
        remedy="choose another --image-size; multiples of 32 from 64 on suit most models",
    )
