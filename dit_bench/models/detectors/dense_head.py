"""What detectors share that predict classes and boxes on every cell of a pyramid: RetinaNet, ATSS, GFL.

Two towers of convolutions run over all levels with the same weights, one for classes, one for boxes. What differs is
the anchors, which of them learn what, how a box is written, and the losses.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dit_bench.cost.formulas import Grid
from dit_bench.models.detectors.anchors import AnchorGrid
from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.boxes import clip_boxes
from dit_bench.models.detectors.losses import PRIOR_LOGIT
from dit_bench.models.detectors.matching import IGNORED
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages
from dit_bench.models.detectors.suppression import keep_best
from dit_bench.models.pyramid.fpn import ExtraLevels, FeaturePyramid

STRIDES = (8, 16, 32, 64, 128)
"""Of the levels P3 … P7."""
TOWER_DEPTH = 4
GROUP_CHANNELS = 8
"""Channels that a group norm treats together: 32 groups of 256."""
CANDIDATES_PER_LEVEL = 1000
"""Pairs of anchor and class that a level hands to suppression at most."""


@dataclass(frozen=True)
class DenseOutputs:
    """What the heads say about n anchors of every image; float32."""

    logits: Tensor
    """`(B, n, K)`."""
    code: Tensor
    """`(B, n, D)`: boxes in the detector's own code."""
    centerness: Tensor | None
    """`(B, n)`, logits; None for detectors without."""


@dataclass(frozen=True)
class DenseTargets:
    """What the anchors of a batch are to learn; P of them are positive, in the order of `positive.nonzero()`."""

    considered: Tensor
    """`(B, n)` bool: neither ignored nor off the image."""
    positive: Tensor
    """`(B, n)` bool."""
    boxes: Tensor
    """`(P, 4)`: the objects' boxes."""
    anchors: Tensor
    """`(P, 4)`."""
    labels: Tensor
    """`(P,)` int64."""
    num_positive: Tensor
    """Float scalar; every image counts as having one at least."""

    def by_class(self, num_classes: int, values: Tensor | float = 1.0) -> Tensor:
        """`(B, n, K)`: each positive's value `(P,)`, or the one given for all, in its class; 0 elsewhere."""
        targets = torch.zeros(*self.positive.shape, num_classes, device=self.positive.device)
        image, anchor = self.positive.nonzero(as_tuple=True)
        targets[image, anchor, self.labels] = torch.as_tensor(values, device=targets.device)
        return targets


class DenseDetector(Detector):
    """Pyramid P3 … P7, class tower and box tower.

    Args:
        widths: of the backbone's four maps.
        num_classes: K; there is no logit for background.
        channels: of pyramid and towers, a multiple of 8.
        score_threshold: a class that scores less on an anchor is no detection.
        max_detections: per image.
    """

    extra_levels: ClassVar[ExtraLevels]
    """Where P6 comes from."""
    anchors: ClassVar[AnchorGrid]
    group_norm: ClassVar[bool]
    """Whether the towers' convolutions have group norms in place of biases."""
    code_size: ClassVar[int]
    """D, numbers that write a box."""
    level_scales: ClassVar[bool] = False
    """Whether each level multiplies its codes by a learnt factor."""
    predicts_centerness: ClassVar[bool] = False
    nms_iou: ClassVar[float]

    def __init__(
        self,
        widths: list[int],
        num_classes: int,
        *,
        channels: int = 256,
        score_threshold: float = 0.05,
        max_detections: int = 100,
    ):
        super().__init__(widths, num_classes)
        self.score_threshold, self.max_detections = score_threshold, max_detections
        self.pyramid = FeaturePyramid(
            widths, start_level=1, num_outputs=len(STRIDES), extra=self.extra_levels, out_channels=channels
        )
        self.class_tower = _tower(channels, self.group_norm)
        self.box_tower = _tower(channels, self.group_norm)
        per_cell = self.anchors.num_per_cell
        self.class_output = _head_conv(channels, per_cell * num_classes, initial_bias=PRIOR_LOGIT)
        self.box_output = _head_conv(channels, per_cell * self.code_size)
        self.centerness_output = _head_conv(channels, per_cell) if self.predicts_centerness else None
        self.scales = nn.Parameter(torch.ones(len(STRIDES))) if self.level_scales else None

    @abstractmethod
    def match(self, boxes: Tensor, level_anchors: list[Tensor]) -> Tensor:
        """Object that each anchor of all levels learns, as in `matching`; int64 `(n,)`."""

    @abstractmethod
    def decode(self, code: Tensor, anchors: Tensor) -> Tensor:
        """Boxes `(n, 4)`, not clipped, from the code `(n, D)` on anchors `(n, 4)`."""

    @abstractmethod
    def losses_of(self, outputs: DenseOutputs, targets: DenseTargets) -> dict[str, Tensor]:
        """The loss's weighted terms over the anchors of all levels."""

    def losses(self, maps: list[Tensor], images: PaddedImages, objects: list[Objects]) -> dict[str, Tensor]:
        """The detector's terms, for a batch in which images may have no objects."""
        levels, grids = self._outputs(maps)
        centerness = [level.centerness for level in levels if level.centerness is not None]
        outputs = DenseOutputs(
            torch.cat([level.logits for level in levels], dim=1),
            torch.cat([level.code for level in levels], dim=1),
            torch.cat(centerness, dim=1) if centerness else None,
        )
        return self.losses_of(outputs, self._targets(grids, images.sizes, objects, outputs.logits.device))

    @torch.no_grad()
    def detect(self, maps: list[Tensor], images: PaddedImages) -> list[Detections]:
        """The best `max_detections` of each image after suppression, class by class."""
        levels, grids = self._outputs(maps)
        device = levels[0].logits.device
        anchors = self.anchors(grids, device)
        return [
            self._detect_one(number, size, levels, anchors, self.anchors.on_image(grids, size, device))
            for number, size in enumerate(images.sizes)
        ]

    def forward(self, maps: list[Tensor], padded_size: Grid) -> None:
        """Pyramid and heads, all that there is to count."""
        del padded_size
        self._outputs(maps)

    def _outputs(self, maps: list[Tensor]) -> tuple[list[DenseOutputs], list[Grid]]:
        """Outputs of each level, and the levels' grids."""
        levels, grids = [], []
        for level, feature in enumerate(self.pyramid(maps)):
            logits = self.class_output(self.class_tower(feature))
            of_boxes = self.box_tower(feature)
            code, centerness = self.box_output(of_boxes).float(), None
            if self.scales is not None:
                code = code * self.scales[level]
            if self.centerness_output is not None:
                centerness = _by_anchor(self.centerness_output(of_boxes), 1).squeeze(2)
            levels.append(
                DenseOutputs(_by_anchor(logits, self.num_classes), _by_anchor(code, self.code_size), centerness)
            )
            grids.append((feature.shape[2], feature.shape[3]))
        return levels, grids

    @torch.no_grad()
    def _targets(
        self, grids: list[Grid], sizes: list[Grid], objects: list[Objects], device: torch.device
    ) -> DenseTargets:
        levels = self.anchors(grids, device)
        anchors = torch.cat(levels)
        rows, boxes, labels = [], [], []
        for size, of_image in zip(sizes, objects, strict=True):
            on_image = self.anchors.on_image(grids, size, device)
            present = [level[mask] for level, mask in zip(levels, on_image, strict=True)]
            row = torch.full((anchors.shape[0],), IGNORED, device=device)
            row[torch.cat(on_image)] = self.match(of_image.boxes.float(), present)
            learnt = row[row >= 0]
            rows.append(row)
            boxes.append(of_image.boxes[learnt].float())
            labels.append(of_image.labels[learnt])
        matches = torch.stack(rows)
        positive = matches >= 0
        return DenseTargets(
            considered=matches != IGNORED,
            positive=positive,
            boxes=torch.cat(boxes),
            anchors=anchors[positive.nonzero(as_tuple=True)[1]],
            labels=torch.cat(labels),
            num_positive=positive.sum(dim=1).clamp(min=1).sum().float(),
        )

    def _detect_one(
        self, number: int, size: Grid, levels: list[DenseOutputs], anchors: list[Tensor], on_image: list[Tensor]
    ) -> Detections:
        """Detections of image `number` of the batch."""
        boxes, scores, labels = [], [], []
        for level, of_level, present in zip(levels, anchors, on_image, strict=True):
            likely = level.logits[number].sigmoid() * present[:, None]
            rows, classes = (likely > self.score_threshold).nonzero(as_tuple=True)
            best, order = likely[rows, classes].topk(min(CANDIDATES_PER_LEVEL, rows.shape[0]))
            rows = rows[order]
            if level.centerness is not None:
                # Centerness orders what is suppressed and kept; the threshold above is on the class alone.
                best = best * level.centerness[number, rows].sigmoid()
            boxes.append(clip_boxes(self.decode(level.code[number, rows], of_level[rows]), size))
            scores.append(best)
            labels.append(classes[order])
        found = Detections(torch.cat(boxes), torch.cat(scores), torch.cat(labels))
        # A box that lies beyond the image has no area once it is clipped.
        not_empty = (found.boxes[:, 2:] > found.boxes[:, :2]).all(dim=1).nonzero().squeeze(1)
        kept = keep_best(
            found.boxes[not_empty],
            found.scores[not_empty],
            found.labels[not_empty],
            iou=self.nms_iou,
            limit=self.max_detections,
        )
        kept = not_empty[kept]
        return Detections(found.boxes[kept], found.scores[kept], found.labels[kept])


def _head_conv(in_channels: int, out_channels: int, *, bias: bool = True, initial_bias: float = 0.0) -> nn.Conv2d:
    """A 3x3 convolution whose weights are drawn from a normal distribution of standard deviation 0.01."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.constant_(conv.bias, initial_bias)
    return conv


def _tower(channels: int, group_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(TOWER_DEPTH):
        layers.append(_head_conv(channels, channels, bias=not group_norm))
        if group_norm:
            layers.append(nn.GroupNorm(channels // GROUP_CHANNELS, channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _by_anchor(maps: Tensor, size: int) -> Tensor:
    """`(B, A · size, H, W)` → `(B, H · W · A, size)` in float32, in the order of the anchors."""
    return maps.float().permute(0, 2, 3, 1).reshape(maps.shape[0], -1, size)
