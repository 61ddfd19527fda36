"""A backbone with a detector on its maps."""

from __future__ import annotations

from torch import Tensor

from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.pyramid.backbones import Backbone
from dit_bench.models.pyramid.network import PyramidNetwork


class DetectionNetwork(PyramidNetwork):
    """Backbone and detector."""

    def __init__(self, backbone: Backbone, detector: Detector):
        super().__init__(backbone, detector)
        self.detector = detector

    @property
    def head(self) -> Detector:
        """The detector."""
        return self.detector

    def losses(self, images: PaddedImages, objects: list[Objects]) -> tuple[dict[str, Tensor], RoutingTrace | None]:
        """The weighted terms of the detector's loss, whose sum is minimised, and what the gates decided."""
        maps, trace = self.backbone(images.pixels)
        return self.detector.losses(maps, images, objects), trace

    def detect(self, images: PaddedImages) -> tuple[list[Detections], RoutingTrace | None]:
        """The detections of each image, and what the gates decided."""
        maps, trace = self.backbone(images.pixels)
        return self.detector.detect(maps, images), trace
