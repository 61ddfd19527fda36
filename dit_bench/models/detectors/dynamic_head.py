"""A stage of Sparse R-CNN: proposals meet each other, then the pixels of their boxes (arXiv 2011.12450, §3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dit_bench.models.detectors.losses import PRIOR_LOGIT
from dit_bench.models.detectors.post_norm import AttentionSublayer, FeedForwardSublayer, xavier_matrices


class DynamicInteraction(nn.Module):
    """Two 1x1 convolutions over a proposal's pixels with matrices that the proposal's feature generates."""

    def __init__(self, width: int, dynamic_width: int, pool_side: int):
        super().__init__()
        self.width, self.dynamic_width = width, dynamic_width
        self.generator = nn.Linear(width, 2 * width * dynamic_width)
        self.norm_in = nn.LayerNorm(dynamic_width)
        self.norm_out = nn.LayerNorm(width)
        self.projection = nn.Linear(width * pool_side**2, width)
        self.norm = nn.LayerNorm(width)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor, pooled: Tensor) -> Tensor:
        """`(n, C)` from proposal features `(n, C)` and their pooled pixels `(n, C, s, s)`."""
        generated_in, generated_out = self.generator(features).chunk(2, dim=1)
        pixels = pooled.flatten(2).transpose(1, 2)
        pixels = torch.bmm(pixels, generated_in.unflatten(1, (self.width, self.dynamic_width)))
        pixels = self.activation(self.norm_in(pixels))
        pixels = torch.bmm(pixels, generated_out.unflatten(1, (self.dynamic_width, self.width)))
        pixels = self.activation(self.norm_out(pixels))
        return self.activation(self.norm(self.projection(pixels.flatten(1))))


class DynamicHeadStage(nn.Module):
    """Self-attention among an image's proposals, dynamic interaction, feed-forward network, class and box branches."""

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 256,
        dynamic_width: int = 64,
        ffn_width: int = 2048,
        num_heads: int = 8,
        pool_side: int = 7,
    ):
        super().__init__()
        self.attention = AttentionSublayer(width, num_heads)
        self.interaction = DynamicInteraction(width, dynamic_width, pool_side)
        self.interaction_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForwardSublayer(width, ffn_width)
        self.class_branch = nn.Sequential(*_branch_layer(width), nn.Linear(width, num_classes))
        self.box_branch = nn.Sequential(
            *(layer for _ in range(3) for layer in _branch_layer(width)), nn.Linear(width, 4)
        )
        xavier_matrices(self)
        class_logits = self.class_branch[-1]
        assert isinstance(class_logits, nn.Linear)
        nn.init.constant_(class_logits.bias, PRIOR_LOGIT)

    def forward(self, features: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class logits `(B, n, K)`, box deltas `(B, n, 4)` and new features `(B, n, C)` of the proposals.

        `features` are `(B, n, C)`, the pixels of their boxes `pooled` `(B · n, C, s, s)`, image after image.
        """
        features = self.attention(features)
        found = self.interaction(features.flatten(0, 1), pooled)
        features = self.interaction_norm(features + found.view_as(features))
        features = self.feed_forward(features)
        return self.class_branch(features), self.box_branch(features), features


def _branch_layer(width: int) -> list[nn.Module]:
    return [nn.Linear(width, width, bias=False), nn.LayerNorm(width), nn.ReLU(inplace=True)]
