"""DETR's position code: sines and cosines of the row and the column (arXiv 2005.12872, appendix A.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid

TEMPERATURE = 10000
EPSILON = 1e-6
"""Keeps the normalisation of the original code, which divides by the number of rows plus this."""


def sine_positions(valid: Sequence[Grid], grid: Grid, width: int, device: torch.device) -> Tensor:
    """Codes `(B, h · w, width)` of the cells of a grid, row by row; `width` is a multiple of 4.

    Rows and columns are counted from 1 and normalised so that the last of the image's `valid` (rows, columns) stands at
    2 pi; cells of the padding repeat the last valid code. The first half of a code is the row's, the second the
    column's: sine and cosine in turn of the place over TEMPERATURE ** (2 i / half).
    """
    half = width // 2
    assert width % 4 == 0, f"width {width}"
    exponents = torch.arange(0, half, 2, dtype=torch.float32, device=device) / half
    frequencies = TEMPERATURE**-exponents
    halves = []
    for side, length in enumerate(grid):
        last = torch.tensor([[cells[side]] for cells in valid], dtype=torch.float32, device=device)
        place = torch.arange(1, length + 1, dtype=torch.float32, device=device).minimum(last)
        angles = (place / (last + EPSILON) * 2 * math.pi)[..., None] * frequencies
        halves.append(torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2))
    rows, columns = halves
    height, length = grid
    both = [rows[:, :, None].expand(-1, -1, length, -1), columns[:, None].expand(-1, height, -1, -1)]
    return torch.cat(both, dim=-1).flatten(1, 2)
