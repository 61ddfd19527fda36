"""DeepLabV3+ (arXiv 1802.02611) in the light form of PVT Table 7: 256 channels and separable convolutions.

With ResNet-50 it has 26.85 M parameters. mmsegmentation's, with 512 channels and 43 M, is not the one whose cost the
table prints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.errors import UsageError
from dit_bench.models import shares
from dit_bench.models.pyramid.backbones import STRIDES
from dit_bench.models.segmenters.base import Segmenter
from dit_bench.models.segmenters.layers import classifier, conv_norm_relu, separable_conv

ATROUS_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (6, 12, 18)}
"""Dilations of the three 3x3 branches by the stride of the coarsest map (DeepLabV3, §4.2; 32 has those of 16)."""


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, dilated separable 3x3s and the mean over the image, joined by a 1x1."""

    def __init__(self, inputs: int, channels: int, rates: Sequence[int]):
        super().__init__()
        self.point = conv_norm_relu(inputs, channels, 1)
        self.atrous = nn.ModuleList(separable_conv(inputs, channels, dilation=rate) for rate in rates)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.whole = conv_norm_relu(inputs, channels, 1)
        self.project = conv_norm_relu((len(rates) + 2) * channels, channels, 1)
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, cells: Tensor) -> Tensor:
        """`(B, C, h, w)` → `(B, channels, h, w)`. Raises UsageError for a training batch of one image."""
        alone = self.training and shares.total_count(len(cells)) == 1
        if alone and not isinstance(self.whole[1], nn.SyncBatchNorm):
            raise UsageError(
                "DeepLabV3+ normalises one value per image over the batch, and this training batch is one image",
                remedy="set optimiser.batch_size to 2 or more",
            )
        grid = (cells.shape[2], cells.shape[3])
        whole = self.whole(self.pool(cells)).expand(-1, -1, *grid)
        found = [self.point(cells), *(branch(cells) for branch in self.atrous), whole]
        return self.dropout(self.project(torch.cat(found, dim=1)))


class DeepLabV3Plus(Segmenter):
    """Atrous pyramid on the coarsest map, enlarged and joined with a slim finest map, two separable convolutions."""

    def __init__(
        self,
        widths: list[int],
        num_classes: int,
        *,
        channels: int = 256,
        fine_channels: int = 48,
        strides: Sequence[int] = STRIDES,
    ):
        super().__init__(widths, num_classes)
        self.pyramid = AtrousPyramid(widths[-1], channels, ATROUS_RATES[strides[-1]])
        self.fine = conv_norm_relu(widths[0], fine_channels, 1)
        self.fuse = nn.Sequential(
            separable_conv(channels + fine_channels, channels), separable_conv(channels, channels)
        )
        self.classifier = classifier(channels, num_classes)

    def logits(self, maps: list[Tensor]) -> Tensor:
        """See `Segmenter`."""
        fine = self.fine(maps[0])
        size = (fine.shape[2], fine.shape[3])
        # Corners aligned, as in the code that the published costs and parameters fit.
        coarse = functional.interpolate(self.pyramid(maps[-1]), size=size, mode="bilinear", align_corners=True)
        return self.classifier(self.fuse(torch.cat((coarse, fine), dim=1)))
