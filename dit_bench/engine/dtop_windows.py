"""Images in overlapping windows, as mmsegmentation's sliding test cuts them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dit_bench.cost.formulas import Grid


def window_starts(length_px: int, window_px: int, stride_px: int) -> list[int]:
    """Where windows start along a side: one stride apart, the last one moved back inside."""
    count = max(0, -(-(length_px - window_px) // stride_px)) + 1
    return [min(number * stride_px, length_px - window_px) for number in range(count)]


def cut_windows(pixels: Tensor, window_px: int, stride_px: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """Windows `(n, 3, S, S)` of one image `(3, H, W)`, row by row, and the top left corner of each."""
    height, width = pixels.shape[1:]
    corners = [
        (top, left)
        for top in window_starts(height, window_px, stride_px)
        for left in window_starts(width, window_px, stride_px)
    ]
    cut = [pixels[:, top : top + window_px, left : left + window_px] for top, left in corners]
    return torch.stack(cut), corners


def merge_windows(scores: Tensor, corners: list[tuple[int, int]], window_px: int, size: Grid) -> Tensor:
    """Scores `(K, H, W)` of an image from those of its windows `(n, K, h, w)`: upsampled, then averaged."""
    total = scores.new_zeros(scores.shape[1], *size)
    hits = scores.new_zeros(1, *size)
    for window, (top, left) in zip(scores, corners, strict=True):
        place = (slice(None), slice(top, top + window_px), slice(left, left + window_px))
        upsampled = functional.interpolate(
            window[None], size=(window_px, window_px), mode="bilinear", align_corners=False
        )
        total[place] += upsampled[0]
        hits[place] += 1
    return total / hits
