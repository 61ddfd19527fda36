"""Generalised focal loss (GFL, arXiv 2006.04388), as PVT's mmdetection configuration has it."""

from __future__ import annotations

import torch
from torch import Tensor

from dit_bench.models import shares
from dit_bench.models.detectors.anchors import AnchorGrid
from dit_bench.models.detectors.boxes import paired_iou
from dit_bench.models.detectors.dense_head import STRIDES, DenseDetector, DenseOutputs, DenseTargets
from dit_bench.models.detectors.losses import (
    distribution_focal_loss,
    giou_loss,
    quality_focal_loss,
)
from dit_bench.models.detectors.matching import match_atss

LAST_BIN = 16
"""A box's sides are at most so many strides away from the anchor's centre; the bins are 0 … LAST_BIN."""
MARGIN_BINS = 0.1
"""Distances to learn stay so far below the last bin, so that both neighbouring bins exist."""
ANCHOR_STRIDES = 8
BOX_WEIGHT, DISTRIBUTION_WEIGHT = 2.0, 0.25


class GFL(DenseDetector):
    """One anchor point on each cell; class scores that mean the box's IoU, sides as distributions over 17 bins.

    P6 is made of P5. The bins' logits are multiplied by a learnt factor of their level.
    """

    extra_levels = "conv_on_output"
    anchors = AnchorGrid(STRIDES, octave_base_scale=ANCHOR_STRIDES)
    group_norm = True
    code_size = 4 * (LAST_BIN + 1)
    level_scales = True
    nms_iou = 0.6

    def match(self, boxes: Tensor, level_anchors: list[Tensor]) -> Tensor:
        """ATSS with nine candidates per level."""
        return match_atss(boxes, level_anchors)

    def decode(self, code: Tensor, anchors: Tensor) -> Tensor:
        """Each side at its expected distance, in strides, from the anchor's centre."""
        probabilities = code.unflatten(1, (4, LAST_BIN + 1)).softmax(dim=2)
        bins = torch.arange(LAST_BIN + 1, device=code.device, dtype=code.dtype)
        centres, strides = _centres_and_strides(anchors)
        distances = (probabilities * bins).sum(dim=2) * strides[:, None]
        return torch.cat([centres - distances[:, :2], centres + distances[:, 2:]], dim=1)

    def losses_of(self, outputs: DenseOutputs, targets: DenseTargets) -> dict[str, Tensor]:
        """`classification`, `box` and `distribution`; the last two count in proportion to the anchors' best scores."""
        code = outputs.code[targets.positive]
        boxes = self.decode(code, targets.anchors)
        quality = paired_iou(boxes.detach(), targets.boxes)
        soft_targets = targets.by_class(self.num_classes, quality)[targets.considered]
        focal = quality_focal_loss(outputs.logits[targets.considered], soft_targets)
        weights = outputs.logits.detach()[targets.positive].amax(dim=1).sigmoid()
        sum_of_weights = shares.total(weights.sum()).clamp(min=1)
        by_side = distribution_focal_loss(
            code.reshape(-1, LAST_BIN + 1), distance_targets(targets.anchors, targets.boxes).flatten()
        )
        by_box = by_side.view(-1, 4).mean(dim=1)
        return {
            "classification": focal / shares.total(targets.num_positive).clamp(min=1),
            "box": BOX_WEIGHT * (giou_loss(boxes, targets.boxes) * weights).sum() / sum_of_weights,
            "distribution": DISTRIBUTION_WEIGHT * (by_box * weights).sum() / sum_of_weights,
        }


def distance_targets(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Distances `(n, 4)` of the boxes' left, top, right and bottom from the anchors' centres, in strides.

    Clipped to what the bins can say.
    """
    centres, strides = _centres_and_strides(anchors)
    distances = torch.cat([centres - boxes[:, :2], boxes[:, 2:] - centres], dim=1) / strides[:, None]
    return distances.clamp(0, LAST_BIN - MARGIN_BINS)


def _centres_and_strides(anchors: Tensor) -> tuple[Tensor, Tensor]:
    """`(n, 2)` in px, and `(n,)`: the anchors are squares of `ANCHOR_STRIDES` strides."""
    return (anchors[:, :2] + anchors[:, 2:]) / 2, (anchors[:, 2] - anchors[:, 0]) / ANCHOR_STRIDES
