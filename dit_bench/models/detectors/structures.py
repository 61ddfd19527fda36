"""What goes into detectors and comes out of them. Boxes are x1, y1, x2, y2 in pixels of the (resized) image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid


@dataclass(frozen=True)
class PaddedImages:
    """A batch of images of different sizes, padded to the right and below with zeros."""

    pixels: Tensor
    """`(B, 3, H, W)`, normalised."""
    sizes: list[Grid]
    """Height and width of each image before padding."""

    @property
    def padded_size(self) -> Grid:
        """H and W."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def to(self, device: torch.device) -> PaddedImages:
        """The same batch on a device."""
        return PaddedImages(self.pixels.to(device), self.sizes)


@dataclass(frozen=True)
class Objects:
    """What is to be found in one image; crowds are not among them."""

    boxes: Tensor
    """`(n, 4)` float."""
    labels: Tensor
    """`(n,)` int64, 0 … K − 1."""
    masks: Tensor | None = None
    """`(n, h, w)` bool, as large as the image before padding; None where the detector needs none."""

    def to(self, device: torch.device) -> Objects:
        """The same objects on a device."""
        masks = None if self.masks is None else self.masks.to(device)
        return Objects(self.boxes.to(device), self.labels.to(device), masks)


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first."""

    boxes: Tensor
    """`(n, 4)` float, inside the image before padding."""
    scores: Tensor
    """`(n,)` float."""
    labels: Tensor
    """`(n,)` int64, 0 … K − 1."""
    masks: Tensor | None = None
    """`(n, s, s)`: probability of the object over its box, on a regular grid; None for detectors of boxes."""
