"""Region proposal network (Faster R-CNN, arXiv 1506.01497), as PVT's mmdetection configurations have it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid
from dit_bench.models import shares
from dit_bench.models.detectors.anchors import AnchorGrid, inside
from dit_bench.models.detectors.boxes import decode_deltas, encode_deltas
from dit_bench.models.detectors.losses import smooth_l1
from dit_bench.models.detectors.matching import match_by_iou
from dit_bench.models.detectors.sampling import sample_images
from dit_bench.models.detectors.structures import Objects
from dit_bench.models.detectors.suppression import keep_best

STRIDES = (4, 8, 16, 32, 64)
PADDING_MULTIPLE_PX = 32
POSITIVE_IOU, NEGATIVE_IOU = 0.7, 0.3
SAMPLES_PER_IMAGE, POSITIVE_FRACTION = 256, 0.5
SUPPRESSION_IOU = 0.7


@dataclass(frozen=True)
class ProposalLimits:
    """How many regions of an image go on."""

    per_level: int
    """The best of every level, before suppression."""
    total: int
    """The best of all levels, after it."""


@dataclass(frozen=True)
class ScoredAnchors:
    """What the network says of every anchor, per level."""

    anchors: list[Tensor]
    """`(n_l, 4)`."""
    logits: list[Tensor]
    """Objectness `(B, n_l)`."""
    deltas: list[Tensor]
    """`(B, n_l, 4)`, standard deviations 1."""


class RegionProposals(nn.Module):
    """Objectness and box of three anchors per cell on five levels of strides 4 … 64.

    `outside` lets anchors that reach beyond the image learn, too (Mask R-CNN; the cascade's configuration leaves them
    out); `beta` is that of the smooth L1 loss of boxes, 0 for plain L1.
    """

    def __init__(self, channels: int, *, outside: bool, beta: float):
        super().__init__()
        self.outside, self.beta = outside, beta
        self.anchors = AnchorGrid(STRIDES, octave_base_scale=8, ratios=(0.5, 1.0, 2.0))
        self.shared = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, self.anchors.num_per_cell, 1)
        self.deltas = nn.Conv2d(channels, 4 * self.anchors.num_per_cell, 1)
        for layer in (self.shared, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, levels: list[Tensor]) -> ScoredAnchors:
        """Score the anchors of all levels `(B, channels, H_l, W_l)`."""
        grids = [(level.shape[-2], level.shape[-1]) for level in levels]
        logits, deltas = [], []
        for level in levels:
            hidden = functional.relu(self.shared(level))
            # Cell after cell, the anchors of a cell together: the order of the anchors.
            logits.append(self.objectness(hidden).permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.deltas(hidden).permute(0, 2, 3, 1).reshape(level.shape[0], -1, 4))
        return ScoredAnchors(self.anchors(grids, levels[0].device), logits, deltas)

    def losses(self, scored: ScoredAnchors, sizes: list[Grid], objects: list[Objects]) -> dict[str, Tensor]:
        """Binary cross-entropy and box loss over the sampled anchors of the batch, both per sampled anchor."""
        anchors = torch.cat(scored.anchors)
        logits, deltas = torch.cat(scored.logits, dim=1).float(), torch.cat(scored.deltas, dim=1).float()
        # Sums over no element at all keep the graph whole where nothing is sampled.
        objectness, boxes, num_samples = logits[:, :0].sum(), deltas[:, :0].sum(), 0
        learners = [self._learning(anchors, size).nonzero().flatten() for size in sizes]
        matched = [
            match_by_iou(
                of_image.boxes,
                anchors[learning],
                positive=POSITIVE_IOU,
                negative=NEGATIVE_IOU,
                min_positive=NEGATIVE_IOU,
                low_quality=True,
            )
            for learning, of_image in zip(learners, objects, strict=True)
        ]
        drawn = sample_images(matched, count=SAMPLES_PER_IMAGE, positive_fraction=POSITIVE_FRACTION)
        for image, of_image in enumerate(objects):
            learning, matches, (positives, negatives) = learners[image], matched[image], drawn[image]
            sampled = logits[image, learning[torch.cat([positives, negatives])]]
            targets = torch.cat(
                [torch.ones_like(sampled[: len(positives)]), torch.zeros_like(sampled[len(positives) :])]
            )
            objectness = objectness + functional.binary_cross_entropy_with_logits(sampled, targets, reduction="sum")
            chosen = learning[positives]
            wanted = encode_deltas(of_image.boxes[matches[positives]], anchors[chosen])
            boxes = boxes + smooth_l1(deltas[image, chosen], wanted, self.beta).sum()
            num_samples += sampled.shape[0]
        num_samples = max(shares.total_count(num_samples), 1)
        return {"rpn.classification": objectness / num_samples, "rpn.box": boxes / num_samples}

    def _learning(self, anchors: Tensor, size: Grid) -> Tensor:
        """Which anchors `(n, 4)` may learn from an image of (height, width): not those of the batch's padding."""
        if not self.outside:
            return inside(anchors, size)
        # An image alone would be padded no further than to the next multiple. Centres are whole multiples of a stride.
        height, width = (math.ceil(side / PADDING_MULTIPLE_PX) * PADDING_MULTIPLE_PX for side in size)
        centres = (anchors[:, :2] + anchors[:, 2:]) / 2
        return (centres[:, 0] < width - 1) & (centres[:, 1] < height - 1)

    @torch.no_grad()
    def propose(self, scored: ScoredAnchors, sizes: list[Grid], limits: ProposalLimits) -> list[Tensor]:
        """The best regions `(n, 4)` of each image of (height, width), best first, clipped to it, after suppression."""
        return [self._propose(scored, image, size, limits) for image, size in enumerate(sizes)]

    def _propose(self, scored: ScoredAnchors, image: int, size: Grid, limits: ProposalLimits) -> Tensor:
        boxes, scores, numbers = [], [], []
        levels = zip(scored.anchors, scored.logits, scored.deltas, strict=True)
        for number, (anchors, logits, deltas) in enumerate(levels):
            best, chosen = logits[image].float().topk(min(limits.per_level, anchors.shape[0]))
            boxes.append(decode_deltas(deltas[image, chosen], anchors[chosen], size=size))
            scores.append(best)
            numbers.append(torch.full_like(chosen, number))
        regions, ranks, level_of = torch.cat(boxes), torch.cat(scores), torch.cat(numbers)
        # Clipping leaves nothing of a box that lies outside the image.
        real = ((regions[:, 2:] - regions[:, :2]) > 0).all(dim=1)
        regions, ranks, level_of = regions[real], ranks[real], level_of[real]
        return regions[keep_best(regions, ranks, level_of, iou=SUPPRESSION_IOU, limit=limits.total)]
