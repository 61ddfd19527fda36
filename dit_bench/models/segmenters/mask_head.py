"""Trans2Seg's mask head: every class draws its mask by itself, with the same small network (arXiv 2101.08461, §3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.models.segmenters.layers import classifier, conv_norm_relu, separable_conv

CLASSES_AT_ONCE = 30
"""In inference, for memory: at stride 4 each class has a map of its own in every channel."""


class MaskHead(nn.Module):
    """The encoded map beside a class's score maps, enlarged to the finest map and added to it, then one channel."""

    def __init__(self, fine_width: int, width: int, num_heads: int, mask_width: int):
        super().__init__()
        self.fine = conv_norm_relu(fine_width, mask_width, 1)
        self.coarse = nn.Sequential(
            separable_conv(width + num_heads, mask_width), separable_conv(mask_width, mask_width)
        )
        self.draw = nn.Sequential(separable_conv(mask_width, mask_width), classifier(mask_width, 1))

    def forward(self, fine: Tensor, cells: Tensor, scores: Tensor) -> Tensor:
        """Masks `(B, K, H, W)` on the grid of the finest map.

        `fine` is the backbone's finest map `(B, fine_width, H, W)`, `cells` the encoded map `(B, width, h, w)`,
        `scores` the score maps `(B, K, heads, h, w)`.
        """
        slim = self.fine(fine)
        # In training, batch norms see all classes together; in inference no class knows of another.
        at_once = scores.shape[1] if self.training else CLASSES_AT_ONCE
        return torch.cat([self._masks(slim, cells, part) for part in scores.split(at_once, dim=1)], dim=1)

    def _masks(self, slim: Tensor, cells: Tensor, scores: Tensor) -> Tensor:
        num_classes, size = scores.shape[1], (slim.shape[2], slim.shape[3])
        of_class = torch.cat((cells[:, None].expand(-1, num_classes, -1, -1, -1), scores), dim=2)
        drawn = self.coarse(of_class.flatten(0, 1))
        drawn = functional.interpolate(drawn, size=size, mode="bilinear", align_corners=True)
        drawn = drawn.unflatten(0, (-1, num_classes)) + slim[:, None]
        return self.draw(drawn.flatten(0, 1)).squeeze(1).unflatten(0, (-1, num_classes))
