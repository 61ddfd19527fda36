"""Masked execution: every token is computed, absent tokens are masked. The reference, and the way to train.

An absent token contributes zero at the input of every spatial operator (the spatial reduction and the 3x3 depthwise
convolution), is no key where attention runs on the tokens themselves (SR ratio 1), and its own output is discarded.
Legend: B images, L tokens, C width, D feed-forward width, K keys.
"""

from __future__ import annotations

import torch
from timm.models.pvt_v2 import Attention, Block, MlpWithDepthwiseConv
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid


def masked_stage(blocks: nn.ModuleList, tokens: Tensor, grid: Grid, kept: Tensor | None) -> Tensor:
    """Output `(B, L, C)` of a stage; `kept` `(B, L)` of 0 and 1, or None when every token is kept.

    Skipped tokens return unchanged: G · B(x) + (1 − G) · x (DiT Eq. 4 with one and the same mask).
    """
    mask = None if kept is None else kept.unsqueeze(-1).to(tokens.dtype)
    out = tokens
    for block in blocks:
        assert isinstance(block, Block)
        out = _masked_block(block, out, grid, mask)
    return out if mask is None else mask * out + (1 - mask) * tokens


def _masked_block(block: Block, tokens: Tensor, grid: Grid, mask: Tensor | None) -> Tensor:
    tokens = tokens + block.drop_path1(_masked_attention(block.attn, block.norm1(tokens), grid, mask))
    return tokens + block.drop_path2(_masked_mlp(block.mlp, block.norm2(tokens), grid, mask))


def _masked_mlp(mlp: MlpWithDepthwiseConv, tokens: Tensor, grid: Grid, mask: Tensor | None) -> Tensor:
    hidden = mlp.fc1(tokens)
    if mask is not None:
        hidden = hidden * mask
    hidden = _to_tokens(mlp.dwconv(_to_map(hidden, grid)))
    return mlp.fc2(mlp.act(hidden))


def _masked_attention(attention: Attention, tokens: Tensor, grid: Grid, mask: Tensor | None) -> Tensor:
    queries = split_heads(attention.q(tokens), attention.num_heads)
    sources = tokens
    if attention.sr is not None:
        present = tokens if mask is None else tokens * mask
        assert attention.norm is not None
        sources = attention.norm(_to_tokens(attention.sr(_to_map(present, grid))))
    keys, values = (split_heads(part, attention.num_heads) for part in attention.kv(sources).chunk(2, dim=-1))
    if attention.sr is None and mask is not None:
        mixed = _attend_to_present(queries, keys, values, mask, attention.scale)
    else:
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
    return attention.proj(mixed.transpose(1, 2).flatten(2))


def _attend_to_present(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention over keys weighted by the mask `(B, L, 1)`: differentiable in the mask, finite if all are absent."""
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys, values, mask = queries.float(), keys.float(), values.float(), mask.float()
        present = mask.transpose(1, 2).unsqueeze(1)  # (B, 1, 1, K)
        scores = queries @ keys.transpose(-2, -1) * scale
        peak = scores.masked_fill(present < 0.5, -1e4).amax(dim=-1, keepdim=True).detach()
        # Absent keys may score above the peak; the clamp keeps their masked weight, and its gradient, bounded.
        weights = torch.exp((scores - peak).clamp(max=0.0)) * present
        total = weights.sum(dim=-1, keepdim=True)
        return (weights / torch.where(total > 0, total, torch.ones_like(total))) @ values


def split_heads(tokens: Tensor, num_heads: int) -> Tensor:
    """`(B, L, C)` → `(B, heads, L, C / heads)`."""
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def _to_map(tokens: Tensor, grid: Grid) -> Tensor:
    """`(B, L, C)` → `(B, C, h, w)`, a view in channels-last order."""
    return tokens.transpose(1, 2).unflatten(2, grid)


def _to_tokens(features: Tensor) -> Tensor:
    """`(B, C, h, w)` → `(B, L, C)`."""
    return features.flatten(2).transpose(1, 2)
