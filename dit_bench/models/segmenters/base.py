"""What every segmenter is: a neck and a head on a backbone's maps that score each class at each cell, and its loss."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models.pixel_loss import IGNORED, pixel_cross_entropy
from dit_bench.models.pyramid.head import PyramidHead


class Segmenter(PyramidHead):
    """Neck and head for the classes 0 … K − 1."""

    def __init__(self, widths: list[int], num_classes: int):
        super().__init__(widths, num_classes)
        assert num_classes <= IGNORED, f"{num_classes} classes: {IGNORED} is the label of pixels that do not count"

    @abstractmethod
    def logits(self, maps: list[Tensor]) -> Tensor:
        """Scores `(B, K, h, w)` on the grid of the finest map, from the backbone's maps `(B, C_i, H_i, W_i)`."""

    def forward(self, maps: list[Tensor], padded_size: Grid) -> Tensor:
        """Scores `(B, K, h, w)` in single precision, on the head's own grid: whoever needs them finer resizes them."""
        del padded_size
        return self.logits(maps).float()

    def loss(self, maps: list[Tensor], labels: Tensor) -> Tensor:
        """Cross-entropy with labels `(B, H, W)` of integers, 255 where there is none: a scalar.

        Scores are resized bilinearly to the labels' size. The mean is over the labelled pixels of the batch, 0 without
        any; mmsegmentation divides by the number of all pixels instead, so its loss is smaller by the labelled share.
        """
        return pixel_cross_entropy(self.logits(maps), labels, average_ignored=False)
