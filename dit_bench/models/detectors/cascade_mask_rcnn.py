"""Cascade Mask R-CNN (arXiv 1712.00726) with convolutional box heads, as PVT's mmdetection configuration has it.

Three stages of one box head and one mask head each; every stage learns from the boxes that the one before has refined.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dit_bench.cost.formulas import Grid
from dit_bench.models import shares
from dit_bench.models.detectors.box_head import (
    BOX_SIDE,
    BoxHead,
    BoxPredictions,
    classification_loss,
    positive_deltas,
    refined_boxes,
)
from dit_bench.models.detectors.boxes import decode_deltas
from dit_bench.models.detectors.losses import giou_loss
from dit_bench.models.detectors.mask_head import POOLED_SIDE, MaskHead, mask_logits_of, mask_loss
from dit_bench.models.detectors.roi_features import pool_regions
from dit_bench.models.detectors.roi_training import TrainingBatch
from dit_bench.models.detectors.structures import Detections, Objects
from dit_bench.models.detectors.two_stage import TwoStageDetector


@dataclass(frozen=True)
class Stage:
    """What distinguishes a stage of the cascade."""

    iou: float
    """From which a region matches an object."""
    stds: tuple[float, float, float, float]
    """Units of the box deltas: later stages refine less."""
    weight: float
    """Of the stage's losses."""


STAGES = (
    Stage(0.5, (0.1, 0.1, 0.2, 0.2), 1.0),
    Stage(0.6, (0.05, 0.05, 0.1, 0.1), 0.5),
    Stage(0.7, (0.033, 0.033, 0.067, 0.067), 0.25),
)
BOX_LOSS_WEIGHT = 10.0


class CascadeMaskRCNN(TwoStageDetector):
    """Three times four convolutions and a linear layer for class and box, and four convolutions for the mask."""

    outside_anchors = False
    proposal_beta = 1 / 9
    training_proposals = 2000

    def _add_region_heads(self, channels: int, fc_width: int) -> None:
        self.box_heads = nn.ModuleList(
            BoxHead(channels, self.num_classes, num_convs=4, num_linear=1, fc_width=fc_width) for _ in STAGES
        )
        self.mask_heads = nn.ModuleList(MaskHead(channels, self.num_classes) for _ in STAGES)

    def _region_losses(
        self, levels: list[Tensor], proposals: list[Tensor], sizes: list[Grid], objects: list[Objects]
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        for number, stage in enumerate(STAGES):
            batch = self._sample(proposals, objects, iou=stage.iou, low_quality=False)
            predictions: BoxPredictions = self.box_heads[number](pool_regions(levels, batch.boxes, BOX_SIDE))
            boxes = decode_deltas(positive_deltas(predictions, batch.labels), torch.cat(batch.positives), stage.stds)
            masks = self.mask_heads[number](pool_regions(levels, batch.positives, POOLED_SIDE))
            num_regions = max(shares.total_count(len(batch)), 1)
            terms = {
                "classification": classification_loss(predictions.logits, batch.labels),
                "box": BOX_LOSS_WEIGHT * giou_loss(boxes, batch.target_boxes).sum() / num_regions,
                "mask": mask_loss(masks, batch, objects),
            }
            losses |= {f"stage{number + 1}.{name}": stage.weight * term for name, term in terms.items()}
            proposals = _next_proposals(predictions, batch, sizes, stage)
        return losses

    def _detect_boxes(self, levels: list[Tensor], proposals: list[Tensor], sizes: list[Grid]) -> list[Detections]:
        first, *later = self.box_heads
        predictions: BoxPredictions = first(pool_regions(levels, proposals, BOX_SIDE))
        logits = [predictions.logits.float()]
        for head, stage_before in zip(later, STAGES, strict=False):
            images = zip(predictions.per_image(proposals), proposals, sizes, strict=True)
            proposals = [refined_boxes(own, boxes, None, size, stage_before.stds) for own, boxes, size in images]
            predictions = head(pool_regions(levels, proposals, BOX_SIDE))
            logits.append(predictions.logits.float())
        # As in mmdetection it is the logits that are averaged; probabilities would give other scores.
        averaged = BoxPredictions(torch.stack(logits).mean(dim=0), predictions.deltas)
        return self._found(averaged, proposals, sizes, STAGES[-1].stds)

    def _mask_probabilities(self, features: Tensor, labels: Tensor) -> Tensor:
        masks = [mask_logits_of(head(features), labels).float().sigmoid() for head in self.mask_heads]
        return torch.stack(masks).mean(dim=0)

    def _count_regions(self, box_features: Tensor, mask_features: Tensor) -> None:
        for box_head, mask_head in zip(self.box_heads, self.mask_heads, strict=True):
            box_head(box_features)
            mask_head(mask_features)


@torch.no_grad()
def _next_proposals(predictions: BoxPredictions, batch: TrainingBatch, sizes: list[Grid], stage: Stage) -> list[Tensor]:
    """What the next stage samples from: this stage's regions, refined; without the objects' own boxes, which rejoin."""
    images = zip(predictions.per_image(batch.boxes), batch.regions, sizes, strict=True)
    return [
        refined_boxes(own, regions.boxes, regions.labels, size, stage.stds)[~regions.are_annotated]
        for own, regions, size in images
    ]
