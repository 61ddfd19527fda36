"""The maps of a Swin transformer for images of any size (Liu et al., 2021, §3.2 and the code for detection).

timm's layers and parameters with a walk of our own: a map is first padded to whole windows and then shifted, as in
training on ImageNet, where nothing needs padding. timm shifts first, so that with padding its shifted windows mix
tokens of opposite borders. The mask of a shift is made once per stage instead of once per block.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformer, window_partition, window_reverse
from torch import Tensor

from dit_bench.cost.formulas import Grid


def window_maps(model: SwinTransformer, pixels: Tensor) -> list[Tensor]:
    """Maps `(B, H_i, W_i, C_i)` of all stages, before any norm, of images `(B, 3, H, W)`."""
    maps: list[Tensor] = []
    stages: Any = model.layers
    tokens = model.patch_embed(pixels)
    for stage in stages:
        tokens = stage.downsample(tokens)
        mask = None
        for block in stage.blocks:
            if mask is None and any(block.shift_size):
                whole = _whole_windows(tokens, block.window_size)
                mask = _shift_mask(whole, block.window_size, block.shift_size, tokens.device).to(tokens.dtype)
            tokens = tokens + block.drop_path1(_attend(block, block.norm1(tokens), mask))
            tokens = tokens + block.drop_path2(block.mlp(block.norm2(tokens)))
        maps.append(tokens)
    return maps


def _attend(block: Any, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of one block among the tokens `(B, H, W, C)` of each window."""
    height, width = tokens.shape[1:3]
    window, shift = block.window_size, block.shift_size
    whole = _whole_windows(tokens, window)
    tokens = F.pad(tokens, (0, 0, 0, whole[1] - width, 0, whole[0] - height))
    if any(shift):
        tokens = torch.roll(tokens, (-shift[0], -shift[1]), dims=(1, 2))
    windows = window_partition(tokens, window).flatten(1, 2)
    windows = block.attn(windows, mask=mask if any(shift) else None)
    tokens = window_reverse(windows.unflatten(1, window), window, *whole)
    if any(shift):
        tokens = torch.roll(tokens, shift, dims=(1, 2))
    return tokens[:, :height, :width]


def _whole_windows(tokens: Tensor, window: Grid) -> Grid:
    """The smallest grid of whole windows that holds tokens `(B, H, W, C)`."""
    height, width = tokens.shape[1:3]
    return -(-height // window[0]) * window[0], -(-width // window[1]) * window[1]


def _shift_mask(grid: Grid, window: Grid, shift: Grid, device: torch.device) -> Tensor:
    """What is added to the scores inside each shifted window: 0 between neighbours, −100 across the map's borders.

    Returns `(windows, M², M²)`. Rolled by the shift, the rows from −shift on come from the opposite border, and so do
    columns; a pair of tokens may attend to each other if both or none of them did.
    """

    def region(side: int, window_side: int, shift_side: int) -> Tensor:
        position = torch.arange(side, device=device)
        return (position >= side - window_side).int() + (position >= side - shift_side).int()

    rows, columns = (region(*sides) for sides in zip(grid, window, shift, strict=True))
    regions = (3 * rows[:, None] + columns)[None, :, :, None]
    inside = window_partition(regions, window).flatten(1)
    return torch.where(inside[:, None, :] == inside[:, :, None], 0.0, -100.0)
