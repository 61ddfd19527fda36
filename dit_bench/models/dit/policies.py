"""Who decides in the routing space: one row policy and one column policy per variant (DiT Tables 6-8).

A policy says which nodes it can ever use, decides for a batch, and knows what its decisions cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.models.pvt_v2 import Block
from torch import Tensor, nn

from dit_bench.cost.formulas import PyramidShape
from dit_bench.models import shares
from dit_bench.models.dit import selection
from dit_bench.models.dit.gates import RoutingGate
from dit_bench.models.dit.options import LEARNED_COLUMNS, LEARNED_ROWS, SELECTED_ROWS, RoutingOptions, RoutingState
from dit_bench.models.dit.plugin_gate import build_gate
from dit_bench.models.dit.trace import Decision


@dataclass
class RoutingContext:
    """What policies may look at beside the tokens."""

    state: RoutingState
    generator: torch.Generator | None
    seeds: list[int]
    """A seed per image of the batch; filled for the `random` variant at inference only."""
    kept_counts: list[int]
    """Tokens to keep per scale, for the variants that select at matched MACs."""
    masks: dict[tuple[int, int], Tensor] | None = None
    """Kept tokens `(B, L)` per (scale, stage) that stand for the row decisions, at inference only."""
    compiled: bool = False
    """Whether gates may use kernels made by torch's compiler, at inference only."""


def _macs(gates: nn.ModuleDict, scale: int, place: int, num_vectors: int) -> int:
    gate = gates[node_key(scale, place)]
    assert isinstance(gate, RoutingGate)
    return gate.macs(num_vectors)


def node_key(scale: int, stage: int) -> str:
    """Name of a node in module dictionaries."""
    return f"{scale}_{stage}"


class RowPolicy(nn.Module):
    """Decides which tokens a transformer stage computes."""

    def __init__(self, shape: PyramidShape, options: RoutingOptions):
        super().__init__()
        self.shape, self.options = shape, options
        self.variant = options.variant
        nodes = [(i, j) for i in range(shape.num_scales) for j in range(len(shape.depths)) if self.uses(i, j)]
        self.gates = nn.ModuleDict()
        if self.variant in LEARNED_ROWS:
            for i, j in nodes:
                opened = self._on_open_path(i, j)
                self.gates[node_key(i, j)] = build_gate(shape.embed_dims[i], options.gate, initially_open=opened)
        if self.variant == "static":
            for i, j in nodes:
                self.register_buffer(f"frozen_{node_key(i, j)}", torch.randn(shape.embed_dims[i]))

    def uses(self, scale: int, stage: int) -> bool:
        """Whether the stage can ever keep a token."""
        if self.variant in ("diagonal", "depth"):
            return scale == stage
        if self.variant in SELECTED_ROWS:
            return stage >= scale
        return self.variant != "cheapest"

    def _on_open_path(self, scale: int, stage: int) -> bool:
        return self.options.open_path == "fully" or self.variant == "depth" or scale == stage

    def gate_macs(self, scale: int, stage: int, num_tokens: int) -> int:
        """MACs of the decision for one live image."""
        if not self.uses(scale, stage):
            return 0
        width = self.shape.embed_dims[scale]
        if self.variant in LEARNED_ROWS:
            return _macs(self.gates, scale, stage, num_tokens)
        if self.variant == "static":
            return num_tokens * width
        if self.variant == "attention":
            return selection.attention_score_macs(num_tokens, width, self.shape.num_heads[scale])
        return 0

    def decide(
        self, scale: int, stage: int, tokens: Tensor, blocks: nn.ModuleList, images: Tensor | None, ctx: RoutingContext
    ) -> Decision:
        """Kept tokens `(B, L)` of `tokens` `(B, L, C)`, or one decision for all; `images` index into the batch."""
        if not self.uses(scale, stage):
            return False
        decision: Decision = True
        if self.variant in LEARNED_ROWS:
            if self.training and ctx.state.open:
                return self._on_open_path(scale, stage)
            gate = self.gates[node_key(scale, stage)]
            decision = gate(tokens, noise=ctx.state.noise, generator=ctx.generator, compiled=ctx.compiled)
        if ctx.masks is not None and (scale, stage) in ctx.masks:
            mask = ctx.masks[scale, stage].float()
            return mask if images is None else mask[images]
        if self.variant in SELECTED_ROWS:
            with torch.no_grad():
                scores = self._scores(scale, stage, tokens, blocks, images, ctx)
                return selection.keep_highest(scores, ctx.kept_counts[scale])
        return decision

    def _scores(
        self, scale: int, stage: int, tokens: Tensor, blocks: nn.ModuleList, images: Tensor | None, ctx: RoutingContext
    ) -> Tensor:
        if self.variant == "static":
            return selection.frozen_scores(self.get_buffer(f"frozen_{node_key(scale, stage)}"), tokens)
        if self.variant == "attention":
            first = blocks[0]
            assert isinstance(first, Block)
            return selection.attention_scores(first, tokens)
        if self.training:
            return shares.drawn(
                tokens.shape[:2], lambda shape: torch.rand(shape, generator=ctx.generator, device=tokens.device)
            )
        seeds = ctx.seeds if images is None else [ctx.seeds[k] for k in images.tolist()]
        return selection.random_scores(seeds, 16 * scale + stage, tokens.shape[1], tokens.device)


class ColumnPolicy(nn.Module):
    """Decides for which images a map is embedded into the next scale."""

    def __init__(self, shape: PyramidShape, options: RoutingOptions):
        super().__init__()
        self.shape, self.options = shape, options
        self.variant = options.variant
        self.gates = nn.ModuleDict()
        if self.variant in LEARNED_COLUMNS:
            for i in range(shape.num_scales - 1):
                for j in options.columns:
                    opened = self._on_open_path(i, j)
                    self.gates[node_key(i, j)] = build_gate(shape.embed_dims[i], options.gate, initially_open=opened)

    def uses(self, scale: int, column: int) -> bool:
        """Whether the patch embedding can ever run."""
        if column not in self.options.columns:
            return False
        if self.variant in ("diagonal", "depth", *SELECTED_ROWS):
            return column == scale + 1
        return self.variant != "cheapest" or column == max(self.options.columns)

    def _on_open_path(self, scale: int, column: int) -> bool:
        return self.options.open_path == "fully" or column == scale + 1

    def gate_macs(self, scale: int, column: int) -> int:
        """MACs of the decision for one live image; average pooling is not a matrix product."""
        learned = self.variant in LEARNED_COLUMNS and self.uses(scale, column)
        return _macs(self.gates, scale, column, 1) if learned else 0

    def decide(self, scale: int, column: int, tokens: Tensor, ctx: RoutingContext) -> Decision:
        """Open (1) or closed (0) per image `(B,)` of `tokens` `(B, L, C)`, or one decision for all."""
        if not self.uses(scale, column):
            return False
        if self.variant in LEARNED_COLUMNS:
            if self.training and ctx.state.open:
                return self._on_open_path(scale, column)
            gate = self.gates[node_key(scale, column)]
            return gate(tokens.mean(dim=1), noise=ctx.state.noise, generator=ctx.generator)
        return True
