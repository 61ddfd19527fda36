"""The MACs of every node of DiT's routing space, and of an image from its routing (Eq. 5, 6).

One formula serves the exact ledger (int64) and the differentiable budget (float): see `image_macs`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dit_bench.cost import formulas
from dit_bench.cost.formulas import Grid, PyramidShape, StageCost
from dit_bench.models.dit.trace import Decision, RoutingTrace


@dataclass(frozen=True)
class GridCosts:
    """Closed-form MACs of all nodes for one input size."""

    grids: list[Grid]
    constant: int
    """Stem and classifier: paid by every image."""
    stages: list[list[StageCost]]
    """`stages[i][j]`."""
    patch_embeds: list[int]
    """`patch_embeds[i]`: from scale i to i + 1, the same in every column."""
    row_gates: list[list[int]]
    """`row_gates[i][j]`: paid by an image whose scale i is live at stage j."""
    column_gates: list[list[int]]
    """`column_gates[i][j]`: paid by an image whose scale i is live in column j."""
    base: int
    """C_base: PVTv2 of the same size at the same input."""

    @property
    def num_tokens(self) -> list[int]:
        """Tokens per scale."""
        return [height * width for height, width in self.grids]

    def fully(self, columns: tuple[int, ...]) -> int:
        """MACs when every token is kept and every patch embedding of `columns` runs; gates not included."""
        total = self.constant + len(columns) * sum(self.patch_embeds)
        return total + sum(
            cost.macs(tokens) for row, tokens in zip(self.stages, self.num_tokens, strict=True) for cost in row
        )

    def cheapest(self) -> int:
        """MACs when no token is kept and each scale is reached once; gates not included."""
        return self.constant + sum(self.patch_embeds)


def grid_costs(
    shape: PyramidShape,
    image_size: Grid,
    num_classes: int,
    row_gates: list[list[int]] | None = None,
    column_gates: list[list[int]] | None = None,
) -> GridCosts:
    """Costs of the routing space over `shape` for images of (height, width) pixels; no gate MACs unless given."""
    grids, stages = shape.grids(image_size), len(shape.depths)
    return GridCosts(
        grids=grids,
        constant=formulas.stem_macs(shape, grids) + formulas.head_macs(shape, num_classes),
        stages=[
            [formulas.stage_cost(shape, scale, grid, depth) for depth in shape.depths]
            for scale, grid in enumerate(grids)
        ],
        patch_embeds=[formulas.patch_embed_macs(shape, scale, grids) for scale in range(shape.num_scales - 1)],
        row_gates=row_gates or [[0] * stages for _ in grids],
        column_gates=column_gates or [[0] * (stages + 1) for _ in grids[1:]],
        base=formulas.pvt_v2_macs(shape, image_size, num_classes),
    )


def image_macs(trace: RoutingTrace, costs: GridCosts, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Executed MACs of each image `(B,)`: exact with int64, differentiable in the gates with a float type.

    A stage costs what `StageCost` says of the image's kept tokens; a gate is paid where its scale is live; a patch
    embedding where its column gate is open. [k > 0] is the maximum of the mask, whose gradient spreads over it.
    """
    total = torch.full((trace.num_images,), costs.constant, dtype=dtype, device=device)

    def paid(decision: Decision, macs: int) -> Tensor | int:
        if macs == 0 or decision is False:
            return 0
        return macs if decision is True else _cast(decision, dtype) * macs

    for scale, per_stage in enumerate(costs.stages):
        for stage, cost in enumerate(per_stage):
            total = total + paid(trace.live[scale][stage], costs.row_gates[scale][stage])
            kept = trace.kept[scale][stage]
            if isinstance(kept, bool):
                total = total + (cost.macs(costs.num_tokens[scale]) if kept else 0)
                continue
            kept = _cast(kept, dtype)
            count = kept.sum(dim=1)
            total = total + cost.fixed * kept.amax(dim=1) + cost.per_token * count
            if cost.per_token_squared:
                total = total + cost.per_token_squared * count * count
    for scale, per_column in enumerate(trace.columns):
        for column, decision in enumerate(per_column):
            total = total + paid(trace.live[scale][column], costs.column_gates[scale][column])
            total = total + paid(decision, costs.patch_embeds[scale])
    return total


def _cast(decision: Tensor, dtype: torch.dtype) -> Tensor:
    return decision if dtype.is_floating_point else decision.detach().round().to(dtype)
