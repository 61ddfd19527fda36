"""The two sub-layers of a post-norm transformer: a residual branch, then LayerNorm (arXiv 1706.03762, §3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from dit_bench.models.detectors.attention import MultiheadAttention


class AttentionSublayer(nn.Module):
    """Attention among the tokens, or from the tokens to a memory; positions join queries and keys, never values."""

    def __init__(self, width: int, num_heads: int, *, dropout: float = 0.0):
        super().__init__()
        self.attention = MultiheadAttention(width, num_heads, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        memory: Tensor | None = None,
        memory_positions: Tensor | None = None,
        key_mask: Tensor | None = None,
    ) -> Tensor:
        """`(B, n, C)` from tokens `(B, n, C)` and a memory `(B, m, C)`, by default the tokens themselves.

        `key_mask` `(B, m)` is True where there is something to attend to.
        """
        if memory is None:
            memory, memory_positions = tokens, positions
        queries, keys = _placed(tokens, positions), _placed(memory, memory_positions)
        return self.norm(tokens + self.dropout(self.attention(queries, keys, memory, key_mask)))


class FeedForwardSublayer(nn.Module):
    """Two linear layers with ReLU between them, on every token by itself."""

    def __init__(self, width: int, hidden_width: int, *, dropout: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden_width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden_width, width),
            nn.Dropout(dropout),
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, n, C)` → `(B, n, C)`."""
        return self.norm(tokens + self.layers(tokens))


def xavier_matrices(module: nn.Module) -> None:
    """Xavier-uniform values for every parameter of two and more dimensions; all others stay as they are."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


def _placed(tokens: Tensor, positions: Tensor | None) -> Tensor:
    return tokens if positions is None else tokens + positions
