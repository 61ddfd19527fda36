"""A gate that looks at a token through a hidden layer."""

from __future__ import annotations

from torch import Tensor, nn

HIDDEN = 8


class TwoLayerGate(nn.Module):
    """Features of tokens `(B, L, C)` to the logits of keeping and of skipping them `(B, L, 2)`."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 2))

    def forward(self, tokens: Tensor) -> Tensor:
        """Score every token by itself."""
        return self.layers(tokens)
