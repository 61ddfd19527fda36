"""MACs that need no data: the fixed paths through a row's routing space at any input size."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dit_bench.engine.build import build_model, size_of
from dit_bench.errors import UsageError
from dit_bench.models.dit.costs import grid_costs
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import SELECTED_ROWS
from dit_bench.models.dit.selection import matched_counts, selected_macs
from dit_bench.models.pvt import SIZES
from dit_bench.recipes.settings import RunSettings

NUM_CLASSES = {"digit_scenes": 10, "imagenet": 1000}
SMALLEST_SIDE_PX = 32


@dataclass(frozen=True)
class StaticCosts:
    """Costs of one row at one input size, in MACs, and its parameters."""

    image_size_px: int
    macs: dict[str, int]
    """By path: what stands in the keys is what a user reads."""
    target_macs: int | None
    """mu · C_base, where gates are learned or tokens selected."""
    params_total: int


def static_costs(settings: RunSettings, image_size_px: int) -> StaticCosts:
    """Closed-form MACs (convention `matmul`, integers) of the paths that no image decides.

    Raises UsageError for an unknown model or an input that the model cannot take.
    """
    size = size_of(settings.model.name)
    smallest = max(SMALLEST_SIDE_PX, 4 * max(SIZES[size].sr_ratios))
    if image_size_px < smallest:
        raise UsageError(
            f"--image-size {image_size_px}: too small for {settings.model.name}", remedy=f"use at least {smallest}"
        )
    num_classes = NUM_CLASSES[settings.data.dataset]
    grid = (image_size_px, image_size_px)
    with torch.device("meta"):
        model = build_model(
            settings.model_copy(update={"model": settings.model.model_copy(update={"init_weights": None})}), num_classes
        )
    params = sum(parameter.numel() for parameter in model.parameters())
    plain = grid_costs(SIZES[size], grid, num_classes)
    macs = {"PVTv2 diagonal": plain.base}
    target = None
    if isinstance(model, DiT):
        costs, columns = model.costs(grid), model.routing.columns
        gates = sum(map(sum, costs.row_gates)) + sum(map(sum, costs.column_gates))
        macs |= {
            f"fully, patch embeddings in columns {', '.join(map(str, columns))}": plain.fully(columns),
            "fully, patch embeddings in three columns": plain.fully((1, 2, 3)),
            "cheapest": plain.cheapest(),
            "all gates, if every scale is live": gates,
        }
        if model.routing.learns or model.routing.variant in SELECTED_ROWS:
            target = round(model.routing.budget_ratio * plain.base)
        if model.routing.variant in SELECTED_ROWS:
            macs["selected tokens, every image"] = selected_macs(
                costs, matched_counts(costs, model.routing.budget_ratio)
            )
    return StaticCosts(image_size_px, macs, target, params)
