"""Packed execution: only kept tokens are computed. Inference only; equal to masked execution on the same masks.

The kept tokens of the whole batch lie in one `(T, C)` matrix. Linear layers and norms run on it as it is; attention
queries are set out per image against that image's reduced keys; both convolutions see absent tokens as zero.
Images without a kept token take no part at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.models.pvt_v2 import Attention, Block
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid
from dit_bench.models.dit.masked import masked_stage, split_heads
from dit_bench.models.dit.neighbours import neighbour_dwconv, neighbour_table


@dataclass(frozen=True)
class PackedLayout:
    """Where the kept tokens of a batch lie: built once per node, used by all of its blocks."""

    images: Tensor
    """Indices `(A,)` of the images with at least one kept token, in the batch."""
    positions: Tensor
    """Places `(T,)` of the kept tokens in the flattened `(A, L)` grid, increasing."""
    image_of_token: Tensor
    slot_of_token: Tensor
    """Row and column `(T,)` of each token in the padded `(A, longest)` layout that attention uses."""
    longest: int
    present: Tensor | None
    """`(A, longest)` true where a padded slot holds a token; None when all images keep equally many."""
    neighbours: Tensor
    grid: Grid

    @property
    def num_images(self) -> int:
        """A, the number of images that take part."""
        return self.images.numel()


def build_layout(kept: Tensor, grid: Grid) -> PackedLayout:
    """The layout of a keep mask `(B, L)` (bool) with at least one kept token."""
    counts = kept.sum(dim=1)
    images = counts.nonzero().flatten()
    kept, counts = kept[images], counts[images]
    positions = kept.flatten().nonzero().flatten()
    image_of_token = positions // kept.shape[1]
    first_of_image = counts.cumsum(0) - counts
    slot_of_token = torch.arange(positions.numel(), device=kept.device) - first_of_image[image_of_token]
    longest = int(counts.max())
    slots = torch.arange(longest, device=kept.device)
    present = None if bool((counts == longest).all()) else slots[None, :] < counts[:, None]
    neighbours = neighbour_table(positions, images.numel(), grid)
    return PackedLayout(images, positions, image_of_token, slot_of_token, longest, present, neighbours, grid)


def packed_stage(blocks: nn.ModuleList, tokens: Tensor, grid: Grid, kept: Tensor | None) -> Tensor:
    """Output `(B, L, C)` of a stage that computes only the tokens with `kept` `(B, L)` (bool; None keeps all)."""
    if kept is None or bool(kept.all()):
        return masked_stage(blocks, tokens, grid, None)
    if not bool(kept.any()):
        return tokens
    layout = build_layout(kept, grid)
    packed = tokens[kept]
    for block in blocks:
        assert isinstance(block, Block)
        packed = packed + _packed_attention(block.attn, block.norm1(packed), layout)
        hidden = block.mlp.fc1(block.norm2(packed))
        conv = block.mlp.dwconv
        assert conv.bias is not None
        hidden = neighbour_dwconv(hidden, layout.neighbours, conv.weight, conv.bias)
        packed = packed + block.mlp.fc2(block.mlp.act(hidden))
    out = tokens.clone()
    out[kept] = packed.to(out.dtype)
    return out


def _packed_attention(attention: Attention, tokens: Tensor, layout: PackedLayout) -> Tensor:
    queries = _pad(attention.q(tokens), layout)
    key_mask = None
    if attention.sr is not None:
        assert attention.norm is not None
        height, width = layout.grid
        grid = tokens.new_zeros(layout.num_images * height * width, tokens.shape[1])
        grid = grid.index_copy_(0, layout.positions, tokens).view(layout.num_images, height, width, -1)
        reduced = attention.sr(grid.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        keys_values = attention.kv(attention.norm(reduced))
    else:
        keys_values = _pad(attention.kv(tokens), layout)
        if layout.present is not None:
            key_mask = layout.present[:, None, None, :]
    keys, values = (split_heads(part, attention.num_heads) for part in keys_values.chunk(2, dim=-1))
    mixed = functional.scaled_dot_product_attention(
        split_heads(queries, attention.num_heads), keys, values, attn_mask=key_mask
    )
    mixed = mixed.transpose(1, 2).flatten(2)
    return attention.proj(mixed[layout.image_of_token, layout.slot_of_token])


def _pad(tokens: Tensor, layout: PackedLayout) -> Tensor:
    """`(T, C)` → `(A, longest, C)`, zero where an image has fewer tokens."""
    if layout.present is None:
        return tokens.view(layout.num_images, layout.longest, -1)
    padded = tokens.new_zeros(layout.num_images, layout.longest, tokens.shape[1])
    padded[layout.image_of_token, layout.slot_of_token] = tokens
    return padded
