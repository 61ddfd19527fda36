"""What every detector is: a neck and heads on a backbone's maps, with losses, detections and a pass for counting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from dit_bench.cost.formulas import Grid
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages


class Detector(nn.Module, ABC):
    """Neck and heads for K classes over maps of strides 4, 8, 16 and 32.

    `losses` and `detect` get the backbone's maps `(B, C_i, H_i, W_i)`, all four whatever the detector needs of them.
    """

    predicts_masks: ClassVar[bool] = False

    def __init__(self, widths: list[int], num_classes: int):
        super().__init__()
        self.widths, self.num_classes = list(widths), num_classes

    @abstractmethod
    def losses(self, maps: list[Tensor], images: PaddedImages, objects: list[Objects]) -> dict[str, Tensor]:
        """The terms of the training loss, already weighted: their sum is minimised."""

    @abstractmethod
    def detect(self, maps: list[Tensor], images: PaddedImages) -> list[Detections]:
        """At most `max_detections` detections of each image."""

    @abstractmethod
    def forward(self, maps: list[Tensor], padded_size: Grid) -> None:
        """Compute all that one image of the padded size costs, for counting; works on the meta device.

        Second stages see as many proposals as published counts assume; RoIAlign and suppression cost nothing in them
        and are left out.
        """
