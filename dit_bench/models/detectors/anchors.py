"""Reference boxes on the cells of a pyramid's levels, as mmdetection places them.

Strides are given, not divided out of the image size, and sizes are not rounded: torchvision's generator does both, and
its anchors on P6 and P7 drift by up to 84 px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid

PADDING_MULTIPLE_PX = 32
"""Images are padded to multiples of this, each by itself, before they are padded to a batch's common size."""


class AnchorGrid:
    """Anchors of several shapes, centred on the upper left corner `(x · stride, y · stride)` of every cell.

    The octave's scales are `octave_base_scale · 2^(k / scales_per_octave)` strides; a ratio is height over width at
    constant area.
    """

    def __init__(
        self,
        strides: Sequence[int],
        *,
        octave_base_scale: float,
        scales_per_octave: int = 1,
        ratios: Sequence[float] = (1.0,),
    ):
        self.strides = tuple(strides)
        scales = [octave_base_scale * 2 ** (k / scales_per_octave) for k in range(scales_per_octave)]
        self._shapes = [(scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for ratio in ratios for scale in scales]
        """Width and height of each anchor of a cell, in strides: all scales of the first ratio, of the second, …"""

    @property
    def num_per_cell(self) -> int:
        """Anchors on each cell."""
        return len(self._shapes)

    def __call__(self, grids: Sequence[Grid], device: torch.device | str) -> list[Tensor]:
        """Per level `(h · w · num_per_cell, 4)` float32: row after row, cell after cell, shape after shape."""
        return [
            self._level(stride, grid, torch.device(device)) for stride, grid in zip(self.strides, grids, strict=True)
        ]

    def _level(self, stride: int, grid: Grid, device: torch.device) -> Tensor:
        sizes = torch.tensor(self._shapes, device=device) * stride
        corners = torch.cat([-sizes / 2, sizes / 2], dim=1)
        y, x = (torch.arange(side, device=device, dtype=torch.float32) * stride for side in grid)
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        centres = torch.stack([columns, rows, columns, rows], dim=-1)
        return (centres[:, :, None] + corners).reshape(-1, 4)

    def on_image(self, grids: Sequence[Grid], size: Grid, device: torch.device | str) -> list[Tensor]:
        """Per level: which anchors lie on cells that an image of (height, width) would have alone, bool `(n,)`.

        The others lie in what was added to an image for the sake of larger ones in its batch.
        """
        own = [math.ceil(side / PADDING_MULTIPLE_PX) * PADDING_MULTIPLE_PX for side in size]
        masks = []
        for stride, grid in zip(self.strides, grids, strict=True):
            rows, columns = (
                torch.arange(side, device=device) * stride < own_side for side, own_side in zip(grid, own, strict=True)
            )
            masks.append((rows[:, None] & columns).flatten().repeat_interleave(self.num_per_cell))
        return masks


def inside(anchors: Tensor, size: Grid, border: float = 0) -> Tensor:
    """Which anchors `(n, 4)` reach at most `border` px beyond an image of (height, width), bool `(n,)`."""
    height, width = size
    x1, y1, x2, y2 = anchors.unbind(dim=1)
    return (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)
