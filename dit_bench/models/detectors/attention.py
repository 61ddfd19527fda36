"""Multi-head attention whose queries, keys and values may differ, as DETR's positions require.

The same parameters under the same names as in `nn.MultiheadAttention`. That class has a fast path in eval mode, one
kernel with all matrix products inside, which counters of dispatched operations take for free; here the products are
dispatched one by one in every mode.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.models.whole_batch import attend


class MultiheadAttention(nn.Module):
    """Attention of `num_heads` heads between sequences of one width (Vaswani et al., arXiv 1706.03762, §3.2.2)."""

    def __init__(self, width: int, num_heads: int, *, dropout: float = 0.0):
        super().__init__()
        assert width % num_heads == 0, f"width {width}, {num_heads} heads"
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """`(B, n, C)` from queries `(B, n, C)` and keys and values `(B, m, C)`.

        `key_mask` `(B, m)` is True for the keys that may be attended to, at least one of each image; None for all.
        """
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (
            functional.linear(tokens, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for tokens, weight, bias in zip((queries, keys, values), weights, biases, strict=True)
        )
        mask = None if key_mask is None else key_mask[:, None, None, :]
        mixed = attend(query, key, value, mask, self.dropout if self.training else 0.0)
        # By function like the other three: counters of layers see all projections or, as with torch's class, none.
        return functional.linear(mixed.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias)
