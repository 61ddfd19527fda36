"""A backbone with a head on its maps: what is trained, evaluated and counted as one network, whatever the task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from dit_bench.models.dit.model import DiT
from dit_bench.models.pyramid.backbones import Backbone
from dit_bench.models.pyramid.head import PyramidHead


class PyramidNetwork(nn.Module, ABC):
    """Backbone and head; the routing of the backbone, if it has any, comes back with every result."""

    def __init__(self, backbone: Backbone, head: PyramidHead):
        super().__init__()
        assert backbone.widths == head.widths, "the head was built for other maps"
        self.backbone = backbone

    @property
    @abstractmethod
    def head(self) -> PyramidHead:
        """Neck and heads, under the name that the task gives them."""

    @property
    def routed(self) -> DiT | None:
        """The DiT inside, with its gates and costs; None for any other backbone."""
        return self.backbone.model if isinstance(self.backbone.model, DiT) else None

    def forward(self, pixels: Tensor) -> Any:
        """The counting pass: compute all that images `(B, 3, H, W)` cost, second stages as published counts assume."""
        maps, _ = self.backbone(pixels)
        return self.head(maps, (pixels.shape[2], pixels.shape[3]))

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that the backbone wants to keep from weight decay."""
        return {f"backbone.{name}" for name in self.backbone.no_weight_decay()}
