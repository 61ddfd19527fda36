"""The routing space of DiT: N scales by M stages, walked column by column (DiT §3.1, Eq. 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from timm.layers import LayerNorm
from timm.models.pvt_v2 import Block, OverlapPatchEmbed
from torch import Tensor, nn

from dit_bench.cost.formulas import Grid, PyramidShape
from dit_bench.models.dit.masked import masked_stage
from dit_bench.models.dit.options import RoutingOptions
from dit_bench.models.dit.policies import ColumnPolicy, RoutingContext, RowPolicy, node_key
from dit_bench.models.dit.trace import Decision, RoutingTrace, both, either

StageRunner = Callable[[nn.ModuleList, Tensor, Grid, Tensor | None], Tensor]
"""Output `(B, L, C)` of a stage's blocks for tokens on a grid, computed for the kept `(B, L)` (bool; None: all)."""


class ColumnEmbed(nn.Module):
    """P[i][j]: PVTv2's overlapping patch embedding, optionally entering through a learned channel scale."""

    def __init__(self, width_in: int, width_out: int, entry_scale_init: float | None):
        super().__init__()
        self.embed = OverlapPatchEmbed(patch_size=3, stride=2, in_chans=width_in, embed_dim=width_out)
        self.entry_scale = None
        if entry_scale_init is not None:
            self.entry_scale = nn.Parameter(torch.full((width_out,), entry_scale_init))

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """`(B, L, C)` on `grid` → `(B, L', C')` on the next scale's grid."""
        out = self.embed(tokens.transpose(1, 2).unflatten(2, grid)).flatten(1, 2)
        return out if self.entry_scale is None else out * self.entry_scale


class RoutingGrid(nn.Module):
    """All nodes B[i][j] and P[i][j], the gates, and the walk through them.

    The map of a scale is normalised before it is embedded into the next scale, as PVTv2 does at the end of each stage,
    by one norm per scale that also serves the outputs. Scale 0 is always live.
    """

    def __init__(self, shape: PyramidShape, options: RoutingOptions, drop_path_rates: Sequence[Sequence[float]]):
        super().__init__()
        self.shape, self.options = shape, options
        self.num_scales, self.num_stages = shape.num_scales, len(shape.depths)
        if max(options.columns) > self.num_stages:
            raise ValueError(f"columns must lie in 0 … {self.num_stages}, got {list(options.columns)}")
        self.rows, self.columns = RowPolicy(shape, options), ColumnPolicy(shape, options)
        self.stages, self.embeds = nn.ModuleDict(), nn.ModuleDict()
        for j in range(self.num_stages + 1):
            for i in range(self.num_scales):
                if j < self.num_stages and self.rows.uses(i, j):
                    self.stages[node_key(i, j)] = self._build_stage(i, drop_path_rates[j])
                if i + 1 < self.num_scales and self.columns.uses(i, j):
                    entry = options.entry_scale_init if j != i + 1 else None
                    self.embeds[node_key(i, j)] = ColumnEmbed(shape.embed_dims[i], shape.embed_dims[i + 1], entry)
        self.norms = nn.ModuleList([LayerNorm(width) for width in shape.embed_dims])

    def _build_stage(self, scale: int, drop_path_rates: Sequence[float]) -> nn.ModuleList:
        shape = self.shape
        return nn.ModuleList(
            [
                Block(
                    dim=shape.embed_dims[scale],
                    num_heads=shape.num_heads[scale],
                    mlp_ratio=shape.mlp_ratios[scale],
                    sr_ratio=shape.sr_ratios[scale],
                    qkv_bias=True,
                    drop_path=rate,
                    norm_layer=LayerNorm,
                )
                for rate in drop_path_rates
            ]
        )

    def reached(self, scale: int, stage: int, outputs: Sequence[int]) -> bool:
        """Whether any of the output maps can depend on stage `stage` of `scale`; if not, it is never run."""
        return any(scale == out or (scale < out and stage + 1 <= max(self.options.columns)) for out in outputs)

    def forward(
        self,
        stem: Tensor,
        grids: list[Grid],
        context: RoutingContext,
        *,
        run_stage: StageRunner | None,
        outputs: Sequence[int],
    ) -> tuple[list[Tensor], RoutingTrace]:
        """Maps F[i][M] `(B, L_i, C_i)` of all scales, not yet normalised, and the decisions taken.

        `stem` is F[0][0]; only the scales in `outputs` are promised to be complete. `run_stage` computes a stage for
        kept tokens and then images with a closed column gate are left out, too; None computes everything, masked.
        """
        num_images = stem.shape[0]
        trace = RoutingTrace.empty(num_images, grids, self.num_stages)
        # A scale that is not yet live is zero everywhere: one stored number with the map's shape.
        maps = [stem] + [
            stem.new_zeros(()).expand(num_images, height * width, dim)
            for (height, width), dim in zip(grids[1:], self.shape.embed_dims[1:], strict=True)
        ]
        live: list[Decision] = [scale == 0 for scale in range(self.num_scales)]
        for j in range(self.num_stages + 1):
            for i in range(self.num_scales - 1):
                opened = self._decide_column(i, j, maps[i], live, context)
                trace.columns[i][j] = opened
                first = live[i + 1] is False
                live[i + 1] = either(live[i + 1], opened)
                if opened is not False:
                    embedded = self._embed(i, j, maps[i], grids[i], opened, run_stage is not None)
                    maps[i + 1] = embedded if first else maps[i + 1] + embedded
            for i in range(self.num_scales):
                trace.live[i][j] = live[i]
                if j < self.num_stages and self.reached(i, j, outputs):
                    trace.kept[i][j] = kept = self._decide_row(i, j, maps[i], live[i], context)
                    maps[i] = self._run_stage(i, j, maps[i], grids[i], kept, run_stage)
        return maps, trace

    def _decide_column(
        self, scale: int, column: int, tokens: Tensor, live: list[Decision], context: RoutingContext
    ) -> Decision:
        decision = self._on_live(live[scale], tokens, lambda part, _: self.columns.decide(scale, column, part, context))
        if column == max(self.options.columns):
            # The last chance of the next scale: open wherever it is still not live, so that every output map exists.
            missing = _inverted(live[scale + 1])
            decision = either(decision, missing)
        return self._settle(decision)

    def _decide_row(self, scale: int, stage: int, tokens: Tensor, live: Decision, context: RoutingContext) -> Decision:
        if not self.rows.uses(scale, stage):
            return False
        blocks = self.stages[node_key(scale, stage)]
        assert isinstance(blocks, nn.ModuleList)
        decision = self._on_live(
            live, tokens, lambda part, images: self.rows.decide(scale, stage, part, blocks, images, context)
        )
        if isinstance(decision, Tensor) and decision.dim() == 1:
            return decision.unsqueeze(1).expand(-1, tokens.shape[1])
        return decision

    def _on_live(self, live: Decision, tokens: Tensor, decide: Callable[[Tensor, Tensor | None], Decision]) -> Decision:
        """A policy's decision on the images whose scale is live; closed for the others."""
        if live is False:
            return False
        if live is True:
            return decide(tokens, None)
        # In training every image is asked, so that the gradient of liveness reaches the gates that opened the scale.
        images = None if self.training else live.nonzero().flatten()
        decision = decide(tokens if images is None else tokens[images], images)
        if isinstance(decision, bool):
            return both(live, decision)
        if images is None:
            return live.view(-1, *[1] * (decision.dim() - 1)) * decision
        out = decision.new_zeros((tokens.shape[0], *decision.shape[1:]))
        return out.index_copy_(0, images, decision)

    def _settle(self, decision: Decision) -> Decision:
        """A per-image decision that is the same for the whole batch becomes one decision (inference only)."""
        if isinstance(decision, bool) or self.training:
            return decision
        count = int(decision.sum())
        return decision if 0 < count < decision.numel() else bool(count)

    def _embed(self, scale: int, column: int, tokens: Tensor, grid: Grid, opened: Decision, gathered: bool) -> Tensor:
        embed = self.embeds[node_key(scale, column)]
        if opened is True or not gathered:
            out = embed(self.norms[scale](tokens), grid)
            return out if isinstance(opened, bool) else out * opened.view(-1, 1, 1).to(out.dtype)
        assert isinstance(opened, Tensor)
        images = opened.nonzero().flatten()
        part = embed(self.norms[scale](tokens[images]), grid)
        return part.new_zeros((tokens.shape[0], *part.shape[1:])).index_copy_(0, images, part)

    def _run_stage(
        self, scale: int, stage: int, tokens: Tensor, grid: Grid, kept: Decision, run_stage: StageRunner | None
    ) -> Tensor:
        if kept is False:
            return tokens
        blocks = self.stages[node_key(scale, stage)]
        assert isinstance(blocks, nn.ModuleList)
        mask = kept if isinstance(kept, Tensor) else None
        if run_stage is not None:
            return run_stage(blocks, tokens, grid, None if mask is None else mask > 0.5)
        return masked_stage(blocks, tokens, grid, mask)


def _inverted(decision: Decision) -> Decision:
    return not decision if isinstance(decision, bool) else 1 - decision.detach()
