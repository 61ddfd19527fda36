"""Features of regions: every region is pooled from the level that suits its size (FPN, arXiv 1612.03144, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

REGION_STRIDES = (4, 8, 16, 32)
"""Strides of the levels that regions are pooled from; the coarser level of the pyramid is for proposals only."""

FINEST_SIDE_PX = 56
"""Regions of less than twice this side are pooled from the finest level; every doubling is one level more."""


def assign_levels(boxes: Tensor) -> Tensor:
    """Level 0 … 3 of each box `(n, 4)`, int64: floor(log2(sqrt(area) / 56)), clamped."""
    boxes = boxes.float()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # The small term keeps a box of exactly a power of two on its level, and the logarithm of an empty one finite.
    levels = torch.floor(torch.log2(areas.clamp(min=0).sqrt() / FINEST_SIDE_PX + 1e-6))
    return levels.clamp(0, len(REGION_STRIDES) - 1).long()


def pool_regions(levels: Sequence[Tensor], boxes: Sequence[Tensor], side: int, *, sampling_ratio: int = 0) -> Tensor:
    """`(N, C, side, side)` for all boxes of all images, image after image.

    `levels` are the maps `(B, C, H_l, W_l)` of strides 4 … 32, `boxes` `(n_i, 4)` per image. RoIAlign (Mask R-CNN,
    arXiv 1703.06870) without the half-pixel shift of the first version; in float32, for coordinates do not survive
    fewer digits. A bin takes `sampling_ratio` samples per side; with 0 as many as it has cells.
    """
    assert len(levels) == len(REGION_STRIDES), f"{len(levels)} levels"
    images = torch.cat([of_image.new_full((of_image.shape[0], 1), i) for i, of_image in enumerate(boxes)])
    regions = torch.cat([images, torch.cat([*boxes])], dim=1).float()
    level_of = assign_levels(regions[:, 1:])
    pooled, numbers = [], []
    for number, (level, stride) in enumerate(zip(levels, REGION_STRIDES, strict=True)):
        here = (level_of == number).nonzero().flatten()
        pooled.append(roi_align(level.float(), regions[here], side, 1 / stride, sampling_ratio, aligned=True))
        numbers.append(here)
    # Every region lies on one level, so the numbers are a permutation; its inverse restores the order.
    return torch.cat(pooled).index_select(0, torch.cat(numbers).argsort())
