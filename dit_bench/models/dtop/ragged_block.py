"""timm's transformer block on sequences of different lengths in one matrix: nothing is computed for absent tokens.

Norms, linear layers and the feed-forward network run on the tokens of the whole batch at once; only in attention do
images keep to themselves. Differentiable, and with dropout and drop path as in the dense block.
"""

from __future__ import annotations

import torch
from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from dit_bench.cost.formulas import attention_macs
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.whole_batch import attend


def run_block(block: Block, tokens: Tensor, layout: RaggedLayout) -> Tensor:
    """Output `(T, C)` of a block for tokens `(T, C)`; with equally long sequences it is the dense block itself."""
    if layout.num_tokens == 0:
        return tokens
    if layout.is_even:
        return block(layout.pad(tokens)).flatten(0, 1)
    attention = block.attn
    assert isinstance(attention, Attention)
    mixed = _self_attention(attention, attention.qkv(block.norm1(tokens)), layout)
    branch = block.ls1(attention.proj_drop(attention.proj(mixed)))
    tokens = tokens + _drop_path(block.drop_path1, branch, layout)
    branch = block.ls2(block.mlp(block.norm2(tokens)))
    return tokens + _drop_path(block.drop_path2, branch, layout)


def _self_attention(attention: Attention, projected: Tensor, layout: RaggedLayout) -> Tensor:
    """Mixed values `(T, C)` from queries, keys and values `(T, 3C)`: each token meets those of its own image."""
    heads, width = attention.num_heads, projected.shape[1] // 3
    dropout = attention.attn_drop.p if attention.training else 0.0
    padded_macs = layout.num_images * attention_macs(layout.longest, layout.longest, width)
    wasted_macs = padded_macs - sum(attention_macs(count, count, width) for count in layout.counts)
    if layout.loop_pays(wasted_macs, projected.numel() + layout.num_tokens * width):
        # Split once for all images: views taken image by image cost as much as the kernel itself.
        queries, keys, values = (part.split(layout.counts, dim=2) for part in _by_head(projected.unsqueeze(0), heads))
        mixed = [
            _attend(query, key, value, None, dropout)
            for query, key, value in zip(queries, keys, values, strict=True)
            if query.shape[2]
        ]
        return torch.cat(mixed, dim=1)[0]
    query, key, value = _by_head(layout.pad(projected), heads)
    return layout.unpad(_attend(query, key, value, layout.present[:, None, None, :], dropout))


def _by_head(projected: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values `(A, heads, n, C / heads)` from `(A, n, 3C)`."""
    queries, keys, values = projected.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    return queries, keys, values


def _attend(queries: Tensor, keys: Tensor, values: Tensor, key_mask: Tensor | None, dropout: float) -> Tensor:
    """`(A, n, C)` from `(A, heads, n, C / heads)` each."""
    mixed = attend(queries, keys, values, key_mask, dropout)
    return mixed.transpose(1, 2).flatten(2)


def _drop_path(drop_path: nn.Module, branch: Tensor, layout: RaggedLayout) -> Tensor:
    """The branch `(T, C)`, dropped or scaled for whole images as the dense block does it."""
    if isinstance(drop_path, nn.Identity) or not drop_path.training:
        return branch
    factors = drop_path(branch.new_ones(layout.num_images, 1))
    return branch * factors.index_select(0, layout.images)
