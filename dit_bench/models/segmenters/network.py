"""A backbone with a segmenter on its maps."""

from __future__ import annotations

from torch import Tensor

from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.pyramid.backbones import Backbone
from dit_bench.models.pyramid.network import PyramidNetwork
from dit_bench.models.segmenters.base import Segmenter


class SegmentationNetwork(PyramidNetwork):
    """Backbone and segmenter."""

    def __init__(self, backbone: Backbone, segmenter: Segmenter):
        super().__init__(backbone, segmenter)
        self.segmenter = segmenter

    @property
    def head(self) -> Segmenter:
        """The segmenter."""
        return self.segmenter

    def loss(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, RoutingTrace | None]:
        """The segmenter's loss on images `(B, 3, H, W)` with labels `(B, H, W)`, and what the gates decided."""
        maps, trace = self.backbone(pixels)
        return self.segmenter.loss(maps, labels), trace

    def segment(self, pixels: Tensor) -> tuple[Tensor, RoutingTrace | None]:
        """Scores `(B, K, h, w)` on the segmenter's own grid, and what the gates decided."""
        maps, trace = self.backbone(pixels)
        return self.segmenter(maps, (pixels.shape[2], pixels.shape[3])), trace
