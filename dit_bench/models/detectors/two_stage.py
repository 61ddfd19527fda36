"""What detectors in two stages share: the pyramid, the proposals, and the way from boxes to masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.box_head import BOX_SIDE, BoxPredictions, box_detections
from dit_bench.models.detectors.mask_head import POOLED_SIDE
from dit_bench.models.detectors.roi_features import REGION_STRIDES, pool_regions
from dit_bench.models.detectors.roi_training import TrainingBatch, sample_regions
from dit_bench.models.detectors.rpn import STRIDES, ProposalLimits, RegionProposals
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages
from dit_bench.models.pyramid.fpn import FeaturePyramid

SUPPRESSION_IOU = 0.5
PROPOSALS_WHEN_DETECTING = ProposalLimits(per_level=1000, total=1000)
COUNTED_BOX_REGIONS, COUNTED_MASK_REGIONS = 1000, 100
"""Regions that published costs assume for the box heads and for the mask heads."""


class TwoStageDetector(Detector):
    """Instance segmenter that proposes regions and looks at each; what it looks with is the subclass's."""

    predicts_masks: ClassVar[bool] = True
    outside_anchors: ClassVar[bool]
    """Whether anchors that reach beyond the image learn, too."""
    proposal_beta: ClassVar[float]
    """Where the proposals' box loss turns from quadratic to linear."""
    training_proposals: ClassVar[int]
    """Proposals of each image that regions are sampled from."""

    def __init__(
        self,
        widths: list[int],
        num_classes: int,
        *,
        channels: int = 256,
        fc_width: int = 1024,
        regions_per_image: int = 512,
        score_threshold: float = 0.05,
        max_detections: int = 100,
    ):
        super().__init__(widths, num_classes)
        self.training_limits = ProposalLimits(per_level=2000, total=self.training_proposals)
        self.regions_per_image = regions_per_image
        self.score_threshold, self.max_detections = score_threshold, max_detections
        self.neck = FeaturePyramid(widths, start_level=0, num_outputs=len(STRIDES), extra="pool", out_channels=channels)
        self.proposals = RegionProposals(channels, outside=self.outside_anchors, beta=self.proposal_beta)
        self._add_region_heads(channels, fc_width)

    def losses(self, maps: list[Tensor], images: PaddedImages, objects: list[Objects]) -> dict[str, Tensor]:
        """Losses of the proposals and of the regions sampled from them; the objects need masks."""
        levels = self.neck(maps)
        scored = self.proposals(levels)
        proposals = self.proposals.propose(scored, images.sizes, self.training_limits)
        return {
            **self.proposals.losses(scored, images.sizes, objects),
            **self._region_losses(_of_regions(levels), proposals, images.sizes, objects),
        }

    def detect(self, maps: list[Tensor], images: PaddedImages) -> list[Detections]:
        """At most `max_detections` of each image, with the masks `(n, 28, 28)` of their classes."""
        levels = self.neck(maps)
        proposals = self.proposals.propose(self.proposals(levels), images.sizes, PROPOSALS_WHEN_DETECTING)
        region_levels = _of_regions(levels)
        found = self._detect_boxes(region_levels, proposals, images.sizes)
        features = pool_regions(region_levels, [of_image.boxes for of_image in found], POOLED_SIDE)
        masks = self._mask_probabilities(features, torch.cat([of_image.labels for of_image in found]))
        per_image = masks.split([of_image.labels.shape[0] for of_image in found])
        return [replace(of_image, masks=own) for of_image, own in zip(found, per_image, strict=True)]

    def forward(self, maps: list[Tensor], padded_size: Grid) -> None:
        """Pyramid, proposals on all levels, box heads on 1000 regions, mask heads on 100."""
        levels = self.neck(maps)
        self.proposals(levels)
        channels = self.neck.out_channels
        self._count_regions(
            levels[0].new_zeros(COUNTED_BOX_REGIONS, channels, BOX_SIDE, BOX_SIDE),
            levels[0].new_zeros(COUNTED_MASK_REGIONS, channels, POOLED_SIDE, POOLED_SIDE),
        )

    def _sample(
        self, proposals: list[Tensor], objects: list[Objects], *, iou: float, low_quality: bool
    ) -> TrainingBatch:
        """Regions that a stage learns from, sampled from each image's proposals `(n, 4)` and objects."""
        return TrainingBatch(
            sample_regions(
                proposals,
                objects,
                num_classes=self.num_classes,
                iou=iou,
                low_quality=low_quality,
                count=self.regions_per_image,
            )
        )

    def _found(
        self, predictions: BoxPredictions, boxes: list[Tensor], sizes: list[Grid], stds: Sequence[float]
    ) -> list[Detections]:
        """What the regions `(n, 4)` of each image of (height, width) turn out to be."""
        return [
            box_detections(
                of_image,
                own,
                size,
                stds=stds,
                score_threshold=self.score_threshold,
                iou=SUPPRESSION_IOU,
                limit=self.max_detections,
            )
            for of_image, own, size in zip(predictions.per_image(boxes), boxes, sizes, strict=True)
        ]

    @abstractmethod
    def _add_region_heads(self, channels: int, fc_width: int) -> None:
        """Create what looks at regions: heads on `channels` channels, their linear layers `fc_width` wide."""

    @abstractmethod
    def _region_losses(
        self, levels: list[Tensor], proposals: list[Tensor], sizes: list[Grid], objects: list[Objects]
    ) -> dict[str, Tensor]:
        """Weighted losses of all region heads, on regions sampled from each image's proposals `(n, 4)`."""

    @abstractmethod
    def _detect_boxes(self, levels: list[Tensor], proposals: list[Tensor], sizes: list[Grid]) -> list[Detections]:
        """Detections of each image of (height, width), without masks."""

    @abstractmethod
    def _mask_probabilities(self, features: Tensor, labels: Tensor) -> Tensor:
        """Masks `(n, 28, 28)` of the classes `(n,)` from pooled features `(n, channels, 14, 14)`."""

    @abstractmethod
    def _count_regions(self, box_features: Tensor, mask_features: Tensor) -> None:
        """Run every region head once."""


def _of_regions(levels: list[Tensor]) -> list[Tensor]:
    """The levels that regions are pooled from, converted to float32 once for all heads."""
    return [level.float() for level in levels[: len(REGION_STRIDES)]]
