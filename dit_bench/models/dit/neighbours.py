"""The feed-forward network's 3x3 depthwise convolution and GELU on packed tokens: absent neighbours are zero.

Each kept token gathers its kept neighbours, so that the work and the memory traffic fall with the kept tokens.
Compiled, gather, product, sum and GELU are one pass; without a compiler the same is done in chunks that stay in the
cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import register_flop_formula

from dit_bench.cost.formulas import Grid
from dit_bench.models.dit.kernels import Kernel

CHUNK_BYTES = 2**20
"""Size of what one chunk of the eager form gathers on a CPU: it stays in a second-level cache."""


def neighbour_table(positions: Tensor, num_images: int, grid: Grid) -> Tensor:
    """Rows of the 3x3 neighbours of each packed token: `(9, T)`, with T for an absent neighbour or the border.

    `positions` `(T,)` are the tokens' places in the flattened `(images, h, w)` batch, in increasing order.
    """
    height, width = grid
    num_tokens = positions.numel()
    padded = width + 2
    rows = torch.full((num_images * (height + 2) * padded,), num_tokens, dtype=torch.int64, device=positions.device)
    image, row, column = positions // (height * width), positions // width % height, positions % width
    place = (image * (height + 2) + row + 1) * padded + column + 1
    rows[place] = torch.arange(num_tokens, device=positions.device)
    steps = torch.arange(-1, 2, device=positions.device)
    offsets = (steps[:, None] * padded + steps[None, :]).flatten()
    return rows[place[None, :] + offsets[:, None]]


def neighbour_dwconv_gelu(
    tokens: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor, shift: Tensor, compiled: bool
) -> Tensor:
    """GELU of the depthwise 3x3 convolution of `tokens + shift`, `(T + 1, D)` → `(T, D)`.

    The last row of `tokens` stands for an absent neighbour and holds −`shift`. `neighbours` `(9, T)` are row numbers,
    T for an absent one; `weight` `(D, 1, 3, 3)`, `bias` and `shift` `(D,)`.
    """
    # An operator of its own, so that what counts dispatched operations counts it, too, compiled or not.
    return torch.ops.dit_bench.neighbour_dwconv_gelu(tokens, neighbours, weight, bias, shift, compiled)


# The lower-level registration: a call costs a tenth of what `custom_op` adds, and there is no gradient to look after.
torch.library.define(
    "dit_bench::neighbour_dwconv_gelu",
    "(Tensor tokens, Tensor neighbours, Tensor weight, Tensor bias, Tensor shift, bool compiled) -> Tensor",
)


@torch.library.impl("dit_bench::neighbour_dwconv_gelu", "CompositeExplicitAutograd")
def _neighbour_dwconv_gelu(
    tokens: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor, shift: Tensor, compiled: bool
) -> Tensor:
    # Sums are taken in fp32 whatever the tokens' type is, and `shift` as the last row has it, or it would not cancel.
    taps = weight.flatten(1).float().t().contiguous()  # (9, D)
    constant = torch.addcmul(bias.float(), shift.to(tokens.dtype).float(), taps.sum(dim=0))
    if compiled:
        out = _kernel(tokens, neighbours, taps, constant)
        if out is not None:
            return out
    return _in_chunks(tokens, neighbours, taps, constant)


def _in_chunks(tokens: Tensor, neighbours: Tensor, taps: Tensor, constant: Tensor) -> Tensor:
    num_tokens, width = neighbours.shape[1], tokens.shape[1]
    out = tokens.new_empty(num_tokens, width)
    chunk_rows = max(1, CHUNK_BYTES // (width * 4)) if tokens.device.type == "cpu" else num_tokens
    for start in range(0, num_tokens, chunk_rows):
        rows = neighbours[:, start : start + chunk_rows]
        total = constant.repeat(rows.shape[1], 1)
        for tap in range(9):
            total.addcmul_(tokens.index_select(0, rows[tap]), taps[tap])
        out[start : start + chunk_rows] = torch.ops.aten.gelu_(total)
    return out


def _fused(tokens: Tensor, neighbours: Tensor, taps: Tensor, constant: Tensor) -> Tensor:
    total = constant
    for tap in range(9):
        # Unchecked: every row number comes from `neighbour_table`.
        total = total + torch.ops.aten._unsafe_index(tokens, [neighbours[tap]]) * taps[tap]
    return functional.gelu(total).to(tokens.dtype)


_kernel = Kernel(_fused)


@torch.library.register_fake("dit_bench::neighbour_dwconv_gelu")
def _(tokens: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor, shift: Tensor, compiled: bool) -> Tensor:
    return tokens.new_empty(neighbours.shape[1], tokens.shape[1])


@register_flop_formula(torch.ops.dit_bench.neighbour_dwconv_gelu)
def _neighbour_dwconv_flops(tokens: Any, neighbours: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Two FLOPs per gathered neighbour and channel, border and absent ones included, as for a dense convolution."""
    return 2 * neighbours[0] * neighbours[1] * tokens[1]
