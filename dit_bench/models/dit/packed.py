"""Packed execution: only kept tokens are computed. Inference only; equal to masked execution on the same masks.

The kept tokens of the whole batch lie in one `(T, C)` matrix, image after image. Linear layers and norms run on it as
it is; attention queries meet their own image's keys; both convolutions see absent tokens as zero. Images without a kept
token take no part at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from timm.models.pvt_v2 import Attention, Block
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid, attention_macs
from dit_bench.models.dit.masked import masked_stage, split_heads
from dit_bench.models.dit.neighbours import neighbour_dwconv_gelu, neighbour_table

GROUP_BYTES = 32 * 2**20
"""On a CPU so much of the feed-forward network's wide activation exists at a time, whole images: it bounds the peak."""
LOOP_MACS_PER_IMAGE = 10**6
"""Attention products wasted on padding, per image, from which a loop over the images is faster on a CPU."""


@dataclass(frozen=True)
class PackedLayout:
    """Where the kept tokens of a batch lie: built once per node, used by all of its blocks."""

    counts: list[int]
    """Kept tokens of each of the A images that have any."""
    rows: Tensor
    """Places `(T,)` of the kept tokens in the flattened `(B, L)` batch, increasing."""
    positions: Tensor
    """Places `(T,)` of the kept tokens in the flattened `(A, L)` grids of the images that take part."""
    neighbours: Tensor
    grid: Grid

    @property
    def num_images(self) -> int:
        """A, the number of images that take part."""
        return len(self.counts)

    @property
    def longest(self) -> int:
        """Kept tokens of the image that keeps most."""
        return max(self.counts)

    @property
    def is_even(self) -> bool:
        """Whether all images keep equally many."""
        return self.longest == min(self.counts)

    @cached_property
    def slots(self) -> Tensor:
        """Places `(T,)` of the kept tokens in the flattened `(A, longest)` layout that padded attention uses."""
        sizes = torch.tensor(self.counts, device=self.rows.device)
        empty_before = (self.longest - sizes).cumsum(0) - (self.longest - sizes)
        return torch.arange(self.rows.numel(), device=self.rows.device) + empty_before.repeat_interleave(sizes)

    def spans(self) -> Iterator[tuple[int, int]]:
        """First and last-but-one row of each image."""
        start = 0
        for count in self.counts:
            yield start, start + count
            start += count

    def groups(self, row_bytes: int) -> Iterator[tuple[int, int]]:
        """Rows of neighbouring images together, as long as they take no more than `GROUP_BYTES`."""
        first = last = 0
        for start, end in self.spans():
            if start > first and (end - first) * row_bytes > GROUP_BYTES:
                yield first, start
                first = start
            last = end
        yield first, last


def build_layout(kept: Tensor, counts: list[int], grid: Grid) -> PackedLayout:
    """The layout of a keep mask `(B, L)` (bool) with `counts` kept tokens per image, not all of them 0."""
    rows = kept.flatten().nonzero().flatten()
    length = kept.shape[1]
    present = [count for count in counts if count]
    positions = rows
    if len(present) < len(counts):
        images = torch.tensor([k for k, count in enumerate(counts) if count], device=kept.device)
        place = torch.full((len(counts),), -1, device=kept.device)
        place[images] = torch.arange(len(present), device=kept.device)
        positions = place[rows // length] * length + rows % length
    neighbours = neighbour_table(positions, len(present), grid)
    return PackedLayout(present, rows, positions, neighbours, grid)


def packed_stage(
    blocks: nn.ModuleList, tokens: Tensor, grid: Grid, kept: Tensor | None, *, compiled: bool = False
) -> Tensor:
    """Output `(B, L, C)` of a stage that computes only the tokens with `kept` `(B, L)` (bool; None keeps all).

    `compiled` uses a kernel made by torch's compiler for the neighbourhood convolution.
    """
    if kept is None:
        return _dense_stage(blocks, tokens, grid)
    counts = kept.sum(dim=1).tolist()
    if min(counts) == kept.shape[1]:
        return _dense_stage(blocks, tokens, grid)
    if not any(counts):
        return tokens
    layout = build_layout(kept, counts, grid)
    packed = tokens.flatten(0, 1).index_select(0, layout.rows)
    for block in blocks:
        assert isinstance(block, Block)
        packed = packed + _packed_attention(block.attn, block.norm1(packed), layout)
        packed = _packed_mlp(block, packed, layout, compiled)
    out = tokens.clone(memory_format=torch.contiguous_format)
    out.flatten(0, 1).index_copy_(0, layout.rows, packed.to(out.dtype))
    return out


def _dense_stage(blocks: nn.ModuleList, tokens: Tensor, grid: Grid) -> Tensor:
    """The stage for all tokens; of large inputs, on a CPU, a few images at a time to bound the peak of memory."""
    first = blocks[0]
    assert isinstance(first, Block)
    image_bytes = tokens.shape[1] * first.mlp.fc1.out_features * tokens.element_size()
    # Single images do not fill the matrix products; two at a time were never slower than one.
    images = max(2, GROUP_BYTES // image_bytes)
    if tokens.device.type != "cpu" or images >= tokens.shape[0]:
        return masked_stage(blocks, tokens, grid, None)
    return torch.cat([masked_stage(blocks, part, grid, None) for part in tokens.split(images)])


def _packed_mlp(block: Block, tokens: Tensor, layout: PackedLayout, compiled: bool) -> Tensor:
    """Tokens `(T, C)` plus their feed-forward network."""
    conv = block.mlp.dwconv
    assert conv.bias is not None
    row_bytes = conv.out_channels * tokens.element_size()
    groups = list(layout.groups(row_bytes)) if tokens.device.type == "cpu" else [(0, tokens.shape[0])]
    parts = []
    for start, end in groups:
        part, neighbours = tokens, layout.neighbours
        if len(groups) > 1:
            # A token and its neighbours belong to one image; absent ones stay beyond the group's last row.
            part, neighbours = tokens[start:end], neighbours[:, start:end] - start
        hidden = block.mlp.fc1(block.norm2(part))
        hidden = neighbour_dwconv_gelu(hidden, neighbours, conv.weight, conv.bias, compiled)
        parts.append(part + block.mlp.fc2(hidden))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _packed_attention(attention: Attention, tokens: Tensor, layout: PackedLayout) -> Tensor:
    queries = attention.q(tokens)
    keys_values = attention.kv(tokens) if attention.sr is None else _reduced_keys_values(attention, tokens, layout)
    return attention.proj(_mixed(attention, queries, keys_values, layout))


def _reduced_keys_values(attention: Attention, tokens: Tensor, layout: PackedLayout) -> Tensor:
    """Keys and values `(A, m, 2C)` from each image's grid, absent tokens zero, reduced R-fold."""
    assert attention.sr is not None
    assert attention.norm is not None
    height, width = layout.grid
    grid = tokens.new_zeros(layout.num_images * height * width, tokens.shape[1])
    grid = grid.index_copy_(0, layout.positions, tokens).view(layout.num_images, height, width, -1)
    reduced = attention.sr(grid.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
    return attention.kv(attention.norm(reduced))


def _mixed(attention: Attention, queries: Tensor, keys_values: Tensor, layout: PackedLayout) -> Tensor:
    """Values mixed for every query `(T, C)`: each meets the keys of its own image.

    `keys_values` are `(A, m, 2C)`, or `(T, 2C)` where the kept tokens are the keys themselves.
    """
    num_images, own_keys = layout.num_images, keys_values.dim() == 2
    if layout.is_even:
        evenly = queries.view(num_images, layout.longest, -1)
        keys_values = keys_values.view(num_images, layout.longest, -1) if own_keys else keys_values
        return _attend(attention, evenly, keys_values, None).flatten(0, 1)
    keys = layout.longest if own_keys else keys_values.shape[1]
    wasted_tokens = num_images * layout.longest - queries.shape[0]
    wasted_macs = attention_macs(wasted_tokens, keys, queries.shape[1])
    if queries.device.type == "cpu" and wasted_macs > num_images * LOOP_MACS_PER_IMAGE:
        parts = []
        for image, (start, end) in enumerate(layout.spans()):
            of_image = keys_values[start:end] if own_keys else keys_values[image]
            parts.append(_attend(attention, queries[start:end].unsqueeze(0), of_image.unsqueeze(0), None)[0])
        return torch.cat(parts)
    key_mask = None
    if own_keys:
        sizes = torch.tensor(layout.counts, device=queries.device)
        present = torch.arange(layout.longest, device=queries.device)[None, :] < sizes[:, None]
        key_mask, keys_values = present[:, None, None, :], _pad(keys_values, layout)
    padded = _attend(attention, _pad(queries, layout), keys_values, key_mask)
    return padded.flatten(0, 1).index_select(0, layout.slots)


def _attend(attention: Attention, queries: Tensor, keys_values: Tensor, key_mask: Tensor | None) -> Tensor:
    """`(A, n, C)` from queries `(A, n, C)` and `(A, m, 2C)`."""
    keys, values = (split_heads(part, attention.num_heads) for part in keys_values.chunk(2, dim=-1))
    queries = split_heads(queries, attention.num_heads)
    mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=key_mask)
    return mixed.transpose(1, 2).flatten(2)


def _pad(tokens: Tensor, layout: PackedLayout) -> Tensor:
    """`(T, C)` → `(A, longest, C)`, zero where an image has fewer tokens."""
    padded = tokens.new_zeros(layout.num_images * layout.longest, tokens.shape[1])
    return padded.index_copy_(0, layout.slots, tokens).view(layout.num_images, layout.longest, -1)
