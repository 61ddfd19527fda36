"""The parts of PVT v1: patch embedding, spatial-reduction attention and block (PVT §3.2, §3.3, Table 1).

Two epsilons live side by side, as in the published weights: 1e-6 in the norms of the blocks, 1e-5 in those behind the
patch and reduction convolutions. Modules are named as in the published checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from dit_bench.cost.attention import register_attention
from dit_bench.cost.formulas import Grid
from dit_bench.cost.pvt_v1 import spatial_reduction_products_macs

BLOCK_NORM_EPS = 1e-6


class PatchEmbed(nn.Module):
    """Cuts a map into patches without padding, projects each to a token and normalises it (PVT §3.2)."""

    def __init__(self, patch_size: int, in_channels: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, width, kernel_size=patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> tuple[Tensor, Grid]:
        """Tokens `(B, h · w, C)` of maps `(B, C', H, W)`, and their grid (h, w)."""
        cells = self.proj(maps)
        return self.norm(cells.flatten(2).transpose(1, 2)), (cells.shape[2], cells.shape[3])


class SpatialReductionAttention(nn.Module):
    """Attention whose keys and values come from the grid reduced R-fold by a strided convolution (PVT Eq. 1-4)."""

    def __init__(self, width: int, num_heads: int, sr_ratio: int):
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} is not divisible by {num_heads} heads")
        self.num_heads, self.sr_ratio = num_heads, sr_ratio
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        if sr_ratio > 1:
            self.sr = nn.Conv2d(width, width, kernel_size=sr_ratio, stride=sr_ratio)
            self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens `(B, L, C)` to `(B, L, C)`; with R > 1 they fill the grid (h, w), with R = 1 L is free."""
        source = tokens
        if self.sr_ratio > 1:
            reduced = self.sr(tokens.transpose(1, 2).unflatten(2, grid))
            source = self.norm(reduced.flatten(2).transpose(1, 2))
        keys, values = self.kv(source).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(self._heads(self.q(tokens)), self._heads(keys), self._heads(values))
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _heads(self, tokens: Tensor) -> Tensor:
        """`(B, L, C)` to `(B, heads, L, C / heads)`."""
        return tokens.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


def spatial_reduction_attention_macs(module: SpatialReductionAttention, inputs: tuple[Any, ...], output: Tensor) -> int:
    """MACs of both attention products in one call of the module with `inputs` = (tokens, grid)."""
    tokens, grid = inputs[0], inputs[1]
    batch, length, width = tokens.shape
    return batch * spatial_reduction_products_macs(length, grid, module.sr_ratio, width)


register_attention(SpatialReductionAttention, spatial_reduction_attention_macs)


class Block(nn.Module):
    """Attention and feed-forward network, each behind a norm and beside a residual path with stochastic depth."""

    def __init__(self, width: int, num_heads: int, hidden: int, sr_ratio: int, drop_path_rate: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=BLOCK_NORM_EPS)
        self.attn = SpatialReductionAttention(width, num_heads, sr_ratio)
        self.drop_path = DropPath(drop_path_rate)
        self.norm2 = nn.LayerNorm(width, eps=BLOCK_NORM_EPS)
        self.mlp = Mlp(width, hidden)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens `(B, L, C)` to `(B, L, C)`."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), grid))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))
