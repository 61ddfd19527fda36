"""Censuses of a detection network without gates, its two parts apart, on the meta device.

Tables have the same backbone in many rows and the same detector, too: each part is counted once per size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from dit_bench.cost.census import Census, take_census
from dit_bench.cost.conventions import Convention, detection_macs
from dit_bench.cost.formulas import Grid
from dit_bench.models.detectors.backbones import build_backbone
from dit_bench.models.detectors.cost_parts import detector_census
from dit_bench.models.detectors.registry import build_detector


@dataclass(frozen=True)
class StaticParts:
    """What a detection network costs and holds, for one image of a padded size."""

    backbone: Census
    detector: Census

    @property
    def params(self) -> int:
        """Values in all parameters."""
        return self.backbone.params + self.detector.params

    @property
    def trainable_params(self) -> int:
        """Values in the parameters that are trained: all but those of frozen stages."""
        return self.backbone.trainable_params + self.detector.trainable_params

    def macs(self, convention: Convention) -> int:
        """The figure of a convention."""
        return detection_macs(self.backbone, self.detector, convention)


def static_parts(
    backbone: str, detector: str, num_classes: int, padded_size: Grid, *, frozen_stages: int = 0, width_divisor: int = 1
) -> StaticParts:
    """Both censuses for one image of (height, width) pixels, multiples of 32.

    Raises UsageError as `build_backbone` does.
    """
    counted, widths = _count_backbone(backbone, padded_size, frozen_stages)
    return StaticParts(counted, count_detector(detector, widths, num_classes, padded_size, width_divisor))


@lru_cache(maxsize=64)
def _count_backbone(name: str, padded_size: Grid, frozen_stages: int) -> tuple[Census, tuple[int, ...]]:
    with torch.device("meta"):
        backbone = build_backbone(name, frozen_stages=frozen_stages)
    census = take_census(backbone, torch.zeros(1, 3, *padded_size, device="meta"))
    return census, tuple(backbone.widths)


@lru_cache(maxsize=64)
def count_detector(
    name: str, widths: tuple[int, ...], num_classes: int, padded_size: Grid, width_divisor: int = 1
) -> Census:
    """Census of a detector alone on maps of `widths`, whatever backbone made them."""
    with torch.device("meta"):
        detector = build_detector(name, list(widths), num_classes, width_divisor=width_divisor)
    return detector_census(detector, padded_size)
