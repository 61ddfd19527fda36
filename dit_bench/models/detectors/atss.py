"""ATSS (arXiv 1912.02424), as PVT's mmdetection configuration has it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dit_bench.models import shares
from dit_bench.models.detectors.anchors import AnchorGrid
from dit_bench.models.detectors.boxes import decode_deltas
from dit_bench.models.detectors.dense_head import STRIDES, DenseDetector, DenseOutputs, DenseTargets
from dit_bench.models.detectors.losses import focal_loss_sum, giou_loss
from dit_bench.models.detectors.matching import match_atss

BOX_WEIGHT = 2.0
DELTA_STDS = (0.1, 0.1, 0.2, 0.2)


class ATSS(DenseDetector):
    """One square anchor on each cell, chosen by the statistics of its overlaps; centerness besides class and box.

    P6 is made of P5. Deltas are multiplied by a learnt factor of their level.
    """

    extra_levels = "conv_on_output"
    anchors = AnchorGrid(STRIDES, octave_base_scale=8)
    group_norm = True
    code_size = 4
    level_scales = True
    predicts_centerness = True
    nms_iou = 0.6

    def match(self, boxes: Tensor, level_anchors: list[Tensor]) -> Tensor:
        """ATSS with nine candidates per level."""
        return match_atss(boxes, level_anchors)

    def decode(self, code: Tensor, anchors: Tensor) -> Tensor:
        """Deltas in units of `DELTA_STDS` of the anchors."""
        return decode_deltas(code, anchors, DELTA_STDS)

    def losses_of(self, outputs: DenseOutputs, targets: DenseTargets) -> dict[str, Tensor]:
        """`classification`, `box` and `centerness`; boxes count in proportion to their anchors' centerness."""
        assert outputs.centerness is not None
        num_positive = shares.total(targets.num_positive).clamp(min=1)
        logits = outputs.logits[targets.considered]
        focal = focal_loss_sum(logits, targets.by_class(self.num_classes)[targets.considered])
        centerness = centerness_targets(targets.anchors, targets.boxes)
        boxes = self.decode(outputs.code[targets.positive], targets.anchors)
        distance = (giou_loss(boxes, targets.boxes) * centerness).sum()
        cross_entropy = functional.binary_cross_entropy_with_logits(
            outputs.centerness[targets.positive], centerness, reduction="sum"
        )
        return {
            "classification": focal / num_positive,
            "box": BOX_WEIGHT * distance / shares.total(centerness.sum()).clamp(min=1),
            "centerness": cross_entropy / num_positive,
        }


def centerness_targets(anchors: Tensor, boxes: Tensor) -> Tensor:
    """How central each anchor's centre lies in its box, `(n,)` in [0, 1]: 1 in the middle, 0 on the border.

    The geometric mean of min / max of its distances to left and right and to top and bottom (FCOS, arXiv 1904.01355).
    """
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, behind = centres - boxes[:, :2], boxes[:, 2:] - centres
    return (torch.minimum(before, behind) / torch.maximum(before, behind)).prod(dim=1).sqrt()
