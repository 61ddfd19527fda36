"""Closed-form multiply-accumulates (MACs) of the layers that PVTv2 and DiT are made of, as exact integers.

One MAC is 1. The convention is `matmul`: convolutions, linear layers and the two attention products; no bias, norm,
activation, residual sum or resize. Padding cells of a convolution are counted, as every counter does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Grid = tuple[int, int]
"""Height and width of a token grid."""


def linear_macs(rows: int, in_features: int, out_features: int) -> int:
    """MACs of a linear layer: rows · in · out."""
    return rows * in_features * out_features


def conv_macs(out_grid: Grid, kernel_size: int, in_channels: int, out_channels: int, groups: int = 1) -> int:
    """MACs of a convolution: h · w · k² · (in / groups) · out over the *output* grid."""
    return out_grid[0] * out_grid[1] * kernel_size**2 * (in_channels // groups) * out_channels


def attention_macs(queries: int, keys: int, width: int) -> int:
    """MACs of softmax(Q K') V over all heads: both products cost queries · keys · width."""
    return 2 * queries * keys * width


def downsampled(grid: Grid, stride: int) -> Grid:
    """Output grid of PVTv2's overlapping patch embeddings: ceil(side / stride)."""
    return math.ceil(grid[0] / stride), math.ceil(grid[1] / stride)


@dataclass(frozen=True)
class PyramidShape:
    """The sizes that decide the cost of a four-scale pyramid (PVTv2 paper, Table 1)."""

    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    mlp_ratios: tuple[float, ...]
    sr_ratios: tuple[int, ...]
    in_chans: int = 3

    @property
    def num_scales(self) -> int:
        """N, the number of scales."""
        return len(self.embed_dims)

    @property
    def smallest_side_px(self) -> int:
        """Side of an image whose grids are just large enough for the spatial reduction of every scale."""
        return 4 * max(reduction * 2**scale for scale, reduction in enumerate(self.sr_ratios))

    def hidden_dim(self, scale: int) -> int:
        """Width of the feed-forward network at a scale."""
        return int(self.embed_dims[scale] * self.mlp_ratios[scale])

    def grids(self, image_size: Grid) -> list[Grid]:
        """Token grids of all scales for an image of (height, width) pixels."""
        grids = [downsampled(image_size, 4)]
        while len(grids) < self.num_scales:
            grids.append(downsampled(grids[-1], 2))
        return grids


@dataclass(frozen=True)
class StageCost:
    """MACs of one transformer stage for an image with k kept tokens.

    `fixed · [k > 0] + per_token · k + per_token_squared · k²`: the spatial reduction and its keys and values are
    computed on the whole grid as soon as one token is kept; everything else only for kept tokens; without spatial
    reduction (SR ratio 1) keys are the kept tokens themselves, hence the square.
    """

    fixed: int
    per_token: int
    per_token_squared: int

    def macs(self, kept: int) -> int:
        """MACs with `kept` tokens."""
        return (self.fixed if kept else 0) + self.per_token * kept + self.per_token_squared * kept**2


def stage_cost(shape: PyramidShape, scale: int, grid: Grid, depth: int) -> StageCost:
    """Cost of `depth` PVTv2 blocks at a scale on a token grid, as a function of the kept tokens.

    Per kept token and block: query and output projections 2C², the feed-forward pair 2CD, its 3x3 depthwise
    convolution 9D and attention against m keys 2mC. The reduction convolution (kernel and stride R) costs m · R²C²
    and its key-value projection m · 2C², with m = floor(h / R) · floor(w / R) (PVT §3.3; PVTv2 §3.3).
    """
    width, hidden, reduction = shape.embed_dims[scale], shape.hidden_dim(scale), shape.sr_ratios[scale]
    per_token = 2 * width**2 + 2 * width * hidden + 9 * hidden
    if reduction == 1:
        return StageCost(0, depth * (per_token + 2 * width**2), depth * 2 * width)
    keys = (grid[0] // reduction) * (grid[1] // reduction)
    fixed = keys * (reduction**2 * width**2 + 2 * width**2)
    return StageCost(depth * fixed, depth * (per_token + 2 * keys * width), 0)


def patch_embed_macs(shape: PyramidShape, scale: int, grids: Sequence[Grid]) -> int:
    """MACs of the 3x3, stride 2 patch embedding from `scale` to `scale + 1`."""
    return conv_macs(grids[scale + 1], 3, shape.embed_dims[scale], shape.embed_dims[scale + 1])


def stem_macs(shape: PyramidShape, grids: Sequence[Grid]) -> int:
    """MACs of the 7x7, stride 4 stem."""
    return conv_macs(grids[0], 7, shape.in_chans, shape.embed_dims[0])


def head_macs(shape: PyramidShape, num_classes: int) -> int:
    """MACs of the classifier on the pooled last map."""
    return shape.embed_dims[-1] * num_classes


def pvt_v2_macs(shape: PyramidShape, image_size: Grid, num_classes: int) -> int:
    """MACs of PVTv2 for one image of (height, width): the diagonal of DiT's grid, and C_base of Eq. 6."""
    grids = shape.grids(image_size)
    total = stem_macs(shape, grids) + head_macs(shape, num_classes)
    for scale, grid in enumerate(grids):
        total += stage_cost(shape, scale, grid, shape.depths[scale]).macs(grid[0] * grid[1])
        if scale + 1 < shape.num_scales:
            total += patch_embed_macs(shape, scale, grids)
    return total
