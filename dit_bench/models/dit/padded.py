"""Pad-to-longest execution: a rectangle of kept tokens per batch. Inference only; equal to masked execution.

The usual way to run token gates on a batch, and the baseline for packed execution. The kept tokens of each image
are moved together into `(A, longest, C)`, padded to the image that keeps most; norms, linear layers and attention run
on that dense tensor. Both convolutions run densely on the full grid, into which the kept tokens are put back with zeros
for the absent ones. Images without a kept token take no part.
"""

from __future__ import annotations

import torch
from timm.models.pvt_v2 import Attention, Block
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid
from dit_bench.models.dit.masked import masked_stage, split_heads
from dit_bench.models.dit.packed_layout import GROUP_BYTES


class PaddedLayout:
    """Where the kept tokens of the A images that take part lie; built once per node, used by all of its blocks."""

    def __init__(self, kept: Tensor, grid: Grid):
        """The layout of a keep mask `(A, L)` (bool) with at least one kept token in every image."""
        counts = kept.sum(dim=1)
        self.grid = grid
        self.num_images, self.num_cells = kept.shape
        self.longest = int(counts.max())
        self.present = torch.arange(self.longest, device=kept.device)[None, :] < counts[:, None]
        """`(A, longest)` true where a slot holds a token."""
        self.key_mask = None if bool((counts == self.longest).all()) else self.present[:, None, None, :]
        """`present` for attention `(A, 1, 1, longest)`; None when all images keep equally many."""
        self._cells = torch.full_like(self.present, kept.numel(), dtype=torch.int64)
        self._cells[self.present] = kept.flatten().nonzero().flatten()

    def pad(self, tokens: Tensor) -> Tensor:
        """Kept tokens of the batch in order `(T, C)` → `(A, longest, C)`, zero in empty slots."""
        padded = tokens.new_zeros(self.num_images, self.longest, tokens.shape[1])
        padded[self.present] = tokens
        return padded

    def to_map(self, padded: Tensor, first: int = 0) -> Tensor:
        """Images from number `first` on, `(n, longest, C)` → `(n, C, h, w)` with zeros for absent tokens."""
        # Empty slots land in a spare cell behind the grids.
        cells = padded.new_zeros(len(padded) * self.num_cells + 1, padded.shape[2])
        cells.index_copy_(0, self._cells_of(first, len(padded)), padded.flatten(0, 1))
        return cells[:-1].view(len(padded), *self.grid, -1).permute(0, 3, 1, 2)

    def from_map(self, features: Tensor, first: int = 0) -> Tensor:
        """Images from number `first` on, `(n, C, h, w)` → `(n, longest, C)`; empty slots hold anything finite."""
        cells = features.permute(0, 2, 3, 1).flatten(0, 2)
        rows = self._cells_of(first, len(features)).clamp(max=len(cells) - 1)
        return cells.index_select(0, rows).view(len(features), self.longest, -1)

    def _cells_of(self, first: int, count: int) -> Tensor:
        """Places of the slots in the flattened grids of `count` images, `count · L` for an empty one."""
        cells = self._cells[first : first + count] - first * self.num_cells
        return cells.clamp(max=count * self.num_cells).flatten()


def padded_stage(blocks: nn.ModuleList, tokens: Tensor, grid: Grid, kept: Tensor | None) -> Tensor:
    """Output `(B, L, C)` of a stage that computes the tokens with `kept` `(B, L)` (bool; None keeps all), padded."""
    if kept is None or bool(kept.all()):
        return masked_stage(blocks, tokens, grid, None)
    images = kept.any(dim=1)
    if not bool(images.any()):
        return tokens
    out = tokens.clone()
    if bool(kept[images].all()):
        out[images] = masked_stage(blocks, tokens[images], grid, None).to(out.dtype)
        return out
    layout = PaddedLayout(kept[images], grid)
    padded = layout.pad(tokens[kept])
    for block in blocks:
        assert isinstance(block, Block)
        padded = padded + _padded_attention(block.attn, block.norm1(padded), layout)
        padded = _padded_mlp(block, padded, layout)
    out[kept] = padded[layout.present].to(out.dtype)
    return out


def _padded_mlp(block: Block, tokens: Tensor, layout: PaddedLayout) -> Tensor:
    """Tokens `(A, longest, C)` plus their feed-forward network, on a CPU in groups as in packed execution."""
    mlp, group = block.mlp, layout.num_images
    if tokens.device.type == "cpu":
        image_bytes = layout.num_cells * mlp.fc1.out_features * tokens.element_size()
        group = max(1, GROUP_BYTES // image_bytes)
    parts = []
    for first in range(0, layout.num_images, group):
        part = tokens[first : first + group]
        hidden = mlp.dwconv(layout.to_map(mlp.fc1(block.norm2(part)), first))
        parts.append(part + mlp.fc2(mlp.act(layout.from_map(hidden, first))))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _padded_attention(attention: Attention, tokens: Tensor, layout: PaddedLayout) -> Tensor:
    sources, key_mask = tokens, layout.key_mask
    if attention.sr is not None:
        assert attention.norm is not None
        sources = attention.norm(attention.sr(layout.to_map(tokens)).flatten(2).transpose(1, 2))
        key_mask = None
    queries = split_heads(attention.q(tokens), attention.num_heads)
    keys, values = (split_heads(part, attention.num_heads) for part in attention.kv(sources).chunk(2, dim=-1))
    mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=key_mask)
    return attention.proj(mixed.transpose(1, 2).flatten(2))
