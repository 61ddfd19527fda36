"""Semantic FPN (arXiv 1901.02446), as PVT's mmsegmentation configuration has it (PVT Table 5, DiT Table 5)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from dit_bench.models.pyramid.backbones import STRIDES
from dit_bench.models.pyramid.fpn import FeaturePyramid
from dit_bench.models.segmenters.base import Segmenter
from dit_bench.models.segmenters.layers import classifier, conv_norm_relu


class UpwardBranch(nn.Module):
    """One level of the pyramid brought to the finest grid: a 3x3 convolution before each doubling, at least one."""

    def __init__(self, channels: int, width: int, num_doublings: int):
        super().__init__()
        self.num_doublings = num_doublings
        inputs = [channels, *[width] * (num_doublings - 1)]
        self.convs = nn.ModuleList(conv_norm_relu(count, width, 3) for count in inputs)

    def forward(self, cells: Tensor) -> Tensor:
        """`(B, channels, h, w)` → `(B, width, h · 2^n, w · 2^n)` for n doublings."""
        for conv in self.convs:
            cells = conv(cells)
            if self.num_doublings:
                cells = functional.interpolate(cells, scale_factor=2, mode="bilinear", align_corners=False)
        return cells


class SemanticFPN(Segmenter):
    """Feature pyramid, its levels brought to the finest grid and added up, dropout of whole channels, a classifier."""

    def __init__(
        self,
        widths: list[int],
        num_classes: int,
        *,
        channels: int = 256,
        head_width: int = 128,
        strides: Sequence[int] = STRIDES,
    ):
        super().__init__(widths, num_classes)
        self.pyramid = FeaturePyramid(
            widths, start_level=0, num_outputs=len(widths), extra="none", out_channels=channels
        )
        doublings = [(stride // strides[0]).bit_length() - 1 for stride in strides]
        self.branches = nn.ModuleList(UpwardBranch(channels, head_width, count) for count in doublings)
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = classifier(head_width, num_classes)

    def logits(self, maps: list[Tensor]) -> Tensor:
        """See `Segmenter`."""
        finest, *coarser = [branch(cells) for branch, cells in zip(self.branches, self.pyramid(maps), strict=True)]
        return self.classifier(self.dropout(sum(coarser, finest)))
