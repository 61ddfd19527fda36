"""Packed execution: only kept tokens are computed. Inference only; equal to masked execution on the same masks.

The kept tokens of the whole batch lie in one `(T, C)` matrix, image after image. Linear layers and norms run on it as
it is; attention queries meet their own image's keys; both convolutions see absent tokens as zero. Images without a kept
token take no part at all. Residual branches are added in place.
"""

from __future__ import annotations

import torch
from timm.models.pvt_v2 import Attention, Block, MlpWithDepthwiseConv
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid, attention_macs
from dit_bench.models.dit.masked import masked_stage, split_heads
from dit_bench.models.dit.neighbours import neighbour_dwconv_gelu
from dit_bench.models.dit.norms import layer_norm
from dit_bench.models.dit.packed_layout import GROUP_BYTES, PackedLayout, build_layout

LOOP_MACS_PER_IMAGE = 10**6
"""Attention products wasted on padding, per image, from which a loop over the images is faster on a CPU."""


@torch.no_grad()
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
        _add_linear(packed, _packed_attention(block, packed, layout, compiled), block.attn.proj)
        _add_mlp(packed, block, layout, compiled)
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


def _add_linear(total: Tensor, inputs: Tensor, linear: nn.Linear) -> None:
    """Add the layer's output `(T, C)` for `inputs` `(T, D)` to `total`, in place."""
    if linear.bias is None or inputs.dtype != total.dtype or linear.weight.dtype != total.dtype:
        total.add_(linear(inputs))
        return
    # Into the sum itself: neither the bias nor the product needs a matrix of its own.
    total.add_(linear.bias)
    torch.addmm(total, inputs, linear.weight.t(), out=total)


def _add_mlp(tokens: Tensor, block: Block, layout: PackedLayout, compiled: bool) -> None:
    """Add the feed-forward network to the tokens `(T, C)`, in place."""
    mlp, conv = block.mlp, block.mlp.dwconv
    assert conv.bias is not None
    dtype = _product_dtype(tokens)
    for group in layout.groups(mlp.fc1.out_features * dtype.itemsize):
        part = tokens[group.start : group.end]
        hidden = _expanded(mlp, layer_norm(block.norm2, part, compiled).to(dtype))
        hidden = neighbour_dwconv_gelu(hidden, group.neighbours, conv.weight, conv.bias, mlp.fc1.bias, compiled)
        _add_linear(part, hidden, mlp.fc2)


def _expanded(mlp: MlpWithDepthwiseConv, tokens: Tensor) -> Tensor:
    """`(n, C)` → `(n + 1, D)`: the first layer without its bias, and minus the bias in a last row for absent tokens.

    The bias is added after the convolution, once for all taps, where it costs no pass over the matrix; an absent
    token then counts as −bias + bias = 0.
    """
    weight, bias = mlp.fc1.weight.to(tokens.dtype), mlp.fc1.bias
    hidden = tokens.new_empty(tokens.shape[0] + 1, weight.shape[0])
    torch.mm(tokens, weight.t(), out=hidden[:-1])
    hidden[-1] = -bias
    return hidden


def _product_dtype(tokens: Tensor) -> torch.dtype:
    """The type in which matrix products run: autocast's where it is on, else the tokens' own."""
    device = tokens.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tokens.dtype


def _packed_attention(block: Block, tokens: Tensor, layout: PackedLayout, compiled: bool) -> Tensor:
    """Mixed values `(T, C)` for the tokens `(T, C)`, not yet projected."""
    attention = block.attn
    tokens = layer_norm(block.norm1, tokens, compiled)
    queries = attention.q(tokens)
    if attention.sr is None:
        keys_values = attention.kv(tokens)
    else:
        keys_values = _reduced_keys_values(attention, tokens, layout, compiled)
    return _mixed(attention, queries, keys_values, layout)


def _reduced_keys_values(attention: Attention, tokens: Tensor, layout: PackedLayout, compiled: bool) -> Tensor:
    """Keys and values `(A, m, 2C)` from each image's grid, absent tokens zero, reduced R-fold."""
    assert attention.sr is not None
    assert attention.norm is not None
    height, width = layout.grid
    grid = tokens.new_zeros(layout.num_images * height * width, tokens.shape[1])
    grid = grid.index_copy_(0, layout.positions, tokens).view(layout.num_images, height, width, -1)
    reduced = attention.sr(grid.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
    return attention.kv(layer_norm(attention.norm, reduced, compiled))


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
