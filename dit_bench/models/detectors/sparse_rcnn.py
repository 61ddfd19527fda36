"""Sparse R-CNN (arXiv 2011.12450) with 300 proposals, as PVT's mmdetection configuration has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from dit_bench.cost.formulas import Grid
from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.boxes import clip_boxes, decode_deltas
from dit_bench.models.detectors.dynamic_head import DynamicHeadStage
from dit_bench.models.detectors.relative_boxes import image_scales
from dit_bench.models.detectors.roi_features import REGION_STRIDES, pool_regions
from dit_bench.models.detectors.set_loss import FocalClassTerm, Predictions, SetLoss
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages
from dit_bench.models.pyramid.fpn import FeaturePyramid

POOL_SIDE = 7
SAMPLES_PER_BIN_SIDE = 2
DELTA_STDS = (0.5, 0.5, 1.0, 1.0)


class SparseRCNN(Detector):
    """Learned boxes with a feature each, the same for every image, refined by stages that share no weights.

    The boxes start from the whole image. Every stage pools the pixels of its boxes, classifies and moves them, and is
    supervised; gradients flow from stage to stage through the features, not through the boxes. An image's detections
    are the `max_detections` best pairs of a proposal and a class of the last stage, without suppression.
    """

    def __init__(
        self,
        widths: list[int],
        num_classes: int,
        *,
        num_proposals: int = 300,
        num_stages: int = 6,
        width: int = 256,
        dynamic_width: int = 64,
        ffn_width: int = 2048,
        num_heads: int = 8,
        max_detections: int = 300,
    ):
        super().__init__(widths, num_classes)
        self.max_detections = max_detections
        self.neck = FeaturePyramid(
            widths, start_level=0, num_outputs=len(REGION_STRIDES), extra="none", out_channels=width
        )
        # Centre, width and height relative to the image.
        self.proposal_boxes = nn.Parameter(torch.tensor([0.5, 0.5, 1.0, 1.0]).repeat(num_proposals, 1))
        self.proposal_features = nn.Parameter(torch.randn(num_proposals, width))
        self.stages = nn.ModuleList(
            DynamicHeadStage(
                num_classes,
                width=width,
                dynamic_width=dynamic_width,
                ffn_width=ffn_width,
                num_heads=num_heads,
                pool_side=POOL_SIDE,
            )
            for _ in range(num_stages)
        )
        self.set_loss = SetLoss(FocalClassTerm(), _corners, class_weight=2.0)

    def losses(self, maps: list[Tensor], images: PaddedImages, objects: list[Objects]) -> dict[str, Tensor]:
        """Focal, L1 (relative corners) and generalised IoU terms of every stage; scalars."""
        return self.set_loss("stage", self._refine(maps, images.sizes), images.sizes, objects)

    @torch.no_grad()
    def detect(self, maps: list[Tensor], images: PaddedImages) -> list[Detections]:
        """The best `max_detections` (proposal, class) pairs of each image."""
        last = self._refine(maps, images.sizes)[-1]
        scores = last.logits.float().sigmoid().flatten(1)
        best_scores, best = scores.topk(min(self.max_detections, scores.shape[1]), dim=1)
        return [
            Detections(clip_boxes(boxes[pairs // self.num_classes], size), of_image, pairs % self.num_classes)
            for boxes, of_image, pairs, size in zip(last.boxes, best_scores, best, images.sizes, strict=True)
        ]

    def forward(self, maps: list[Tensor], padded_size: Grid) -> None:
        """The counting pass: neck and all stages on pooled pixels of zeros."""
        levels = self.neck(maps)
        features = self._initial_features(len(maps[0]))
        pooled = levels[0].new_zeros(features.shape[0] * features.shape[1], levels[0].shape[1], POOL_SIDE, POOL_SIDE)
        for stage in self.stages:
            _, _, features = stage(features, pooled)

    def _initial_features(self, num_images: int) -> Tensor:
        return self.proposal_features.repeat(num_images, 1, 1)

    def _refine(self, maps: list[Tensor], sizes: Sequence[Grid]) -> list[Predictions]:
        """What every stage predicts for images of `sizes` (height, width) before padding."""
        levels = self.neck(maps)
        features = self._initial_features(len(sizes))
        relative = box_convert(self.proposal_boxes.float(), "cxcywh", "xyxy")
        boxes = relative * image_scales(sizes, relative.device)[:, None]
        predictions = []
        for stage in self.stages:
            pooled = pool_regions(levels, boxes.detach().unbind(), POOL_SIDE, sampling_ratio=SAMPLES_PER_BIN_SIDE)
            logits, deltas, features = stage(features, pooled)
            moved = decode_deltas(deltas.flatten(0, 1), boxes.flatten(0, 1), DELTA_STDS).view_as(boxes)
            predictions.append(Predictions(logits, moved))
            boxes = moved.detach()
        return predictions


def _corners(boxes: Tensor) -> Tensor:
    return boxes
