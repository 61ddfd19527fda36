"""The 3x3 depthwise convolution on packed tokens: each kept token gathers its kept neighbours, absent ones are zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from dit_bench.cost.formulas import Grid


def neighbour_table(positions: Tensor, num_images: int, grid: Grid) -> Tensor:
    """Rows of the 3x3 neighbours of each packed token: `(T, 9)`, with T for an absent neighbour or the border.

    `positions` `(T,)` are the tokens' places in the flattened `(images, h, w)` batch, in increasing order.
    """
    height, width = grid
    num_tokens = positions.numel()
    rows = torch.full((num_images, height + 2, width + 2), num_tokens, dtype=torch.int64, device=positions.device)
    image, row, column = positions // (height * width), positions // width % height, positions % width
    rows[image, row + 1, column + 1] = torch.arange(num_tokens, device=positions.device)
    offsets = torch.arange(3, device=positions.device)
    rows_around = row[:, None, None] + offsets[None, :, None]
    columns_around = column[:, None, None] + offsets[None, None, :]
    return rows[image[:, None, None], rows_around, columns_around].flatten(1)


@torch.library.custom_op("dit_bench::neighbour_dwconv", mutates_args=())
def neighbour_dwconv(tokens: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Depthwise 3x3 convolution `(T, D)` → `(T, D)`; `neighbours` `(T, 9)`, `weight` `(D, 1, 3, 3)`, `bias` `(D,)`."""
    padded = torch.cat([tokens, tokens.new_zeros(1, tokens.shape[1])])
    taps = weight.flatten(1).to(tokens.dtype).t().contiguous()  # (9, D)
    out = bias.to(tokens.dtype).expand_as(tokens).clone()
    for tap in range(9):
        out.addcmul_(padded.index_select(0, neighbours[:, tap]), taps[tap])
    return out


@neighbour_dwconv.register_fake
def _(tokens: Tensor, neighbours: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.empty_like(tokens)


@register_flop_formula(torch.ops.dit_bench.neighbour_dwconv)
def _neighbour_dwconv_flops(tokens: Any, neighbours: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """Two FLOPs per gathered neighbour and channel, border and absent ones included, as for a dense convolution."""
    return 2 * neighbours[0] * neighbours[1] * tokens[1]
