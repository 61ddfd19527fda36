"""Mask R-CNN (arXiv 1703.06870) on a feature pyramid, as PVT's mmdetection configurations have it."""

from __future__ import annotations

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models import shares
from dit_bench.models.detectors.box_head import (
    BOX_SIDE,
    BoxHead,
    BoxPredictions,
    classification_loss,
    positive_deltas,
)
from dit_bench.models.detectors.boxes import encode_deltas
from dit_bench.models.detectors.losses import smooth_l1
from dit_bench.models.detectors.mask_head import POOLED_SIDE, MaskHead, mask_logits_of, mask_loss
from dit_bench.models.detectors.roi_features import pool_regions
from dit_bench.models.detectors.structures import Detections, Objects
from dit_bench.models.detectors.two_stage import TwoStageDetector

BOX_STDS = (0.1, 0.1, 0.2, 0.2)
POSITIVE_IOU = 0.5


class MaskRCNN(TwoStageDetector):
    """Two linear layers for class and box, four convolutions for the mask of each region."""

    outside_anchors = True
    proposal_beta = 0.0
    training_proposals = 1000

    def _add_region_heads(self, channels: int, fc_width: int) -> None:
        self.box_head = BoxHead(channels, self.num_classes, num_convs=0, num_linear=2, fc_width=fc_width)
        self.mask_head = MaskHead(channels, self.num_classes)

    def _region_losses(
        self, levels: list[Tensor], proposals: list[Tensor], sizes: list[Grid], objects: list[Objects]
    ) -> dict[str, Tensor]:
        batch = self._sample(proposals, objects, iou=POSITIVE_IOU, low_quality=True)
        predictions: BoxPredictions = self.box_head(pool_regions(levels, batch.boxes, BOX_SIDE))
        deltas = positive_deltas(predictions, batch.labels)
        targets = encode_deltas(batch.target_boxes, torch.cat(batch.positives), BOX_STDS)
        masks = self.mask_head(pool_regions(levels, batch.positives, POOLED_SIDE))
        return {
            "classification": classification_loss(predictions.logits, batch.labels),
            "box": smooth_l1(deltas, targets).sum() / max(shares.total_count(len(batch)), 1),
            "mask": mask_loss(masks, batch, objects),
        }

    def _detect_boxes(self, levels: list[Tensor], proposals: list[Tensor], sizes: list[Grid]) -> list[Detections]:
        predictions: BoxPredictions = self.box_head(pool_regions(levels, proposals, BOX_SIDE))
        return self._found(predictions, proposals, sizes, BOX_STDS)

    def _mask_probabilities(self, features: Tensor, labels: Tensor) -> Tensor:
        return mask_logits_of(self.mask_head(features), labels).float().sigmoid()

    def _count_regions(self, box_features: Tensor, mask_features: Tensor) -> None:
        self.box_head(box_features)
        self.mask_head(mask_features)
