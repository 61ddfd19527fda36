"""A backbone with a detector on its maps: what is trained, evaluated and counted as one network."""

from __future__ import annotations

from torch import Tensor, nn

from dit_bench.models.detectors.backbones import Backbone
from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.trace import RoutingTrace


class DetectionNetwork(nn.Module):
    """Backbone and detector; the routing of the backbone, if it has any, comes back with every result."""

    def __init__(self, backbone: Backbone, detector: Detector):
        super().__init__()
        assert backbone.widths == detector.widths, "the detector was built for other maps"
        self.backbone, self.detector = backbone, detector

    @property
    def routed(self) -> DiT | None:
        """The DiT inside, with its gates and costs; None for any other backbone."""
        return self.backbone.model if isinstance(self.backbone.model, DiT) else None

    def forward(self, pixels: Tensor) -> None:
        """The counting pass: compute all that images `(B, 3, H, W)` cost, second stages as published counts assume."""
        maps, _ = self.backbone(pixels)
        self.detector(maps, (pixels.shape[2], pixels.shape[3]))

    def losses(self, images: PaddedImages, objects: list[Objects]) -> tuple[dict[str, Tensor], RoutingTrace | None]:
        """The weighted terms of the detector's loss, whose sum is minimised, and what the gates decided."""
        maps, trace = self.backbone(images.pixels)
        return self.detector.losses(maps, images, objects), trace

    def detect(self, images: PaddedImages) -> tuple[list[Detections], RoutingTrace | None]:
        """The detections of each image, and what the gates decided."""
        maps, trace = self.backbone(images.pixels)
        return self.detector.detect(maps, images), trace

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that the backbone wants to keep from weight decay."""
        return {f"backbone.{name}" for name in self.backbone.no_weight_decay()}
