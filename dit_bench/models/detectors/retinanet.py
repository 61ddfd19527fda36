"""RetinaNet (arXiv 1708.02002), as PVT's mmdetection configuration has it."""

from __future__ import annotations

import torch
from torch import Tensor

from dit_bench.models import shares
from dit_bench.models.detectors.anchors import AnchorGrid
from dit_bench.models.detectors.boxes import decode_deltas, encode_deltas
from dit_bench.models.detectors.dense_head import STRIDES, DenseDetector, DenseOutputs, DenseTargets
from dit_bench.models.detectors.losses import focal_loss_sum, smooth_l1
from dit_bench.models.detectors.matching import match_by_iou


class RetinaNet(DenseDetector):
    """Nine anchors on each cell; focal loss on classes, L1 on deltas.

    P6 is made of the backbone's last map. Both losses are summed over the batch and divided by its positives.
    """

    extra_levels = "conv_on_input"
    anchors = AnchorGrid(STRIDES, octave_base_scale=4, scales_per_octave=3, ratios=(0.5, 1.0, 2.0))
    group_norm = False
    code_size = 4
    nms_iou = 0.5

    def match(self, boxes: Tensor, level_anchors: list[Tensor]) -> Tensor:
        """Positive from IoU 0.5, negative below 0.4; every object gets its best anchors whatever their IoU."""
        anchors = torch.cat(level_anchors)
        return match_by_iou(boxes, anchors, positive=0.5, negative=0.4, min_positive=0.0, low_quality=True)

    def decode(self, code: Tensor, anchors: Tensor) -> Tensor:
        """Deltas in units of the anchors."""
        return decode_deltas(code, anchors)

    def losses_of(self, outputs: DenseOutputs, targets: DenseTargets) -> dict[str, Tensor]:
        """`classification` and `box`, both with weight 1."""
        logits = outputs.logits[targets.considered]
        focal = focal_loss_sum(logits, targets.by_class(self.num_classes)[targets.considered])
        distance = smooth_l1(outputs.code[targets.positive], encode_deltas(targets.boxes, targets.anchors), beta=0.0)
        num_positive = shares.total(targets.num_positive)
        return {"classification": focal / num_positive, "box": distance.sum() / num_positive}
