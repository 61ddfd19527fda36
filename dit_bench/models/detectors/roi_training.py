"""What region heads learn: the regions that were sampled from an image's proposals, with their labels and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dit_bench.models.detectors.matching import match_by_iou
from dit_bench.models.detectors.sampling import sample_images
from dit_bench.models.detectors.structures import Objects

POSITIVE_FRACTION = 0.25


@dataclass(frozen=True)
class SampledRegions:
    """Regions of one image that a stage learns from, those of objects first."""

    boxes: Tensor
    """`(n, 4)`."""
    labels: Tensor
    """`(n,)` int64: the object's class 0 … K − 1, K for background."""
    objects: Tensor
    """`(p,)` int64: number of the object that each of the first p regions matches."""
    target_boxes: Tensor
    """`(p, 4)`: the boxes of those objects."""
    are_annotated: Tensor
    """`(n,)` bool: the region is itself the box of an object, no proposal."""

    @property
    def positives(self) -> Tensor:
        """Boxes `(p, 4)` of the regions that match an object."""
        return self.boxes[: self.objects.shape[0]]


@torch.no_grad()
def sample_regions(
    proposals: Sequence[Tensor],
    objects: Sequence[Objects],
    *,
    num_classes: int,
    iou: float,
    low_quality: bool,
    count: int,
) -> list[SampledRegions]:
    """Match each image's proposals `(n, 4)` and the objects' own boxes with the objects and sample `count` of them.

    A proposal matches its best object from `iou` on and is background below; `low_quality` gives every object its best
    proposals besides (see `match_by_iou`). The objects' boxes join the proposals after the matching.
    """
    matches = []
    for of_image, known in zip(proposals, objects, strict=True):
        found = match_by_iou(
            known.boxes.float(), of_image, positive=iou, negative=iou, min_positive=iou, low_quality=low_quality
        )
        matches.append(torch.cat([torch.arange(known.boxes.shape[0], device=found.device), found]))
    drawn = sample_images(matches, count=count, positive_fraction=POSITIVE_FRACTION)
    return [
        _regions(torch.cat([known.boxes.float(), of_image]), known, of_matches, *chosen, num_classes)
        for of_image, known, of_matches, chosen in zip(proposals, objects, matches, drawn, strict=True)
    ]


def _regions(
    candidates: Tensor, objects: Objects, matches: Tensor, positives: Tensor, negatives: Tensor, num_classes: int
) -> SampledRegions:
    """The regions of one image with these numbers, of the candidates `(n, 4)` with their matches `(n,)`."""
    chosen, matched = torch.cat([positives, negatives]), matches[positives]
    background = objects.labels.new_full(negatives.shape, num_classes)
    return SampledRegions(
        boxes=candidates[chosen],
        labels=torch.cat([objects.labels[matched], background]),
        objects=matched,
        target_boxes=objects.boxes.float()[matched],
        are_annotated=chosen < objects.boxes.shape[0],
    )


class TrainingBatch:
    """The sampled regions of a batch, image after image."""

    def __init__(self, regions: list[SampledRegions]):
        self.regions = regions
        self.boxes = [of_image.boxes for of_image in regions]
        """`(n_i, 4)` per image."""
        self.labels = torch.cat([of_image.labels for of_image in regions])
        """`(n,)` int64, K for background."""
        self.positives = [of_image.positives for of_image in regions]
        """`(p_i, 4)` per image."""
        self.target_boxes = torch.cat([of_image.target_boxes for of_image in regions])
        """`(p, 4)`: the boxes of the objects that the positive regions match."""

    def __len__(self) -> int:
        return self.labels.shape[0]
