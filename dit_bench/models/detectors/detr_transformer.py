"""DETR's transformer: an encoder of map cells, a decoder of object queries, post-norm (arXiv 2005.12872, A.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dit_bench.models.detectors.post_norm import AttentionSublayer, FeedForwardSublayer, xavier_matrices


class EncoderLayer(nn.Module):
    """Attention among the cells of the map, then the feed-forward network."""

    def __init__(self, width: int, num_heads: int, ffn_width: int, dropout: float):
        super().__init__()
        self.self_attention = AttentionSublayer(width, num_heads, dropout=dropout)
        self.feed_forward = FeedForwardSublayer(width, ffn_width, dropout=dropout)

    def forward(self, cells: Tensor, positions: Tensor, key_mask: Tensor | None) -> Tensor:
        """`(B, L, C)` → `(B, L, C)`."""
        return self.feed_forward(self.self_attention(cells, positions, key_mask=key_mask))


class DecoderLayer(nn.Module):
    """Attention among the queries, then from the queries to the encoded map, then the feed-forward network."""

    def __init__(self, width: int, num_heads: int, ffn_width: int, dropout: float):
        super().__init__()
        self.self_attention = AttentionSublayer(width, num_heads, dropout=dropout)
        self.cross_attention = AttentionSublayer(width, num_heads, dropout=dropout)
        self.feed_forward = FeedForwardSublayer(width, ffn_width, dropout=dropout)

    def forward(
        self, found: Tensor, queries: Tensor, memory: Tensor, positions: Tensor, key_mask: Tensor | None
    ) -> Tensor:
        """`(B, n, C)` → `(B, n, C)`."""
        found = self.self_attention(found, queries)
        return self.feed_forward(self.cross_attention(found, queries, memory, positions, key_mask))


class DetrTransformer(nn.Module):
    """`num_layers` encoder and as many decoder layers; one LayerNorm closes every decoder layer's output."""

    def __init__(self, width: int, *, num_layers: int, num_heads: int, ffn_width: int, dropout: float):
        super().__init__()
        sizes = (width, num_heads, ffn_width, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(num_layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        xavier_matrices(self)

    def forward(self, cells: Tensor, positions: Tensor, queries: Tensor, key_mask: Tensor | None) -> list[Tensor]:
        """What each decoder layer found, `(B, n, C)` each, from cells `(B, L, C)` at positions `(B, L, C)`.

        `queries` `(n, C)` are the learned positions of the decoder, whose content starts from zero. `key_mask`
        `(B, L)` is True for the cells of the image and False for padding; None without padding.
        """
        for layer in self.encoder:
            cells = layer(cells, positions, key_mask)
        placed = queries.repeat(len(cells), 1, 1)
        found, outputs = torch.zeros_like(placed), []
        for layer in self.decoder:
            found = layer(found, placed, cells, positions, key_mask)
            outputs.append(self.norm(found))
        return outputs
