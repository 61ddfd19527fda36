"""What every detector is: a neck and heads on a backbone's maps, with losses, detections and a pass for counting."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages
from dit_bench.models.pyramid.head import PyramidHead


class Detector(PyramidHead):
    """Neck and heads for K classes over maps of strides 4, 8, 16 and 32."""

    predicts_masks: ClassVar[bool] = False

    @abstractmethod
    def losses(self, maps: list[Tensor], images: PaddedImages, objects: list[Objects]) -> dict[str, Tensor]:
        """The terms of the training loss, already weighted: their sum is minimised."""

    @abstractmethod
    def detect(self, maps: list[Tensor], images: PaddedImages) -> list[Detections]:
        """At most `max_detections` detections of each image."""

    @abstractmethod
    def forward(self, maps: list[Tensor], padded_size: Grid) -> None:
        """See `PyramidHead`.

        Second stages see as many proposals as published counts assume; RoIAlign and suppression cost nothing in them
        and are left out.
        """
