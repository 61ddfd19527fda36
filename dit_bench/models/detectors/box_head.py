"""The head that classifies regions and refines their boxes, what it learns and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid
from dit_bench.models import shares
from dit_bench.models.detectors.boxes import decode_deltas
from dit_bench.models.detectors.structures import Detections
from dit_bench.models.detectors.suppression import keep_best

BOX_SIDE = 7
"""Side of the pooled features, in bins."""


class BoxPredictions(NamedTuple):
    """What a box head says of n regions."""

    logits: Tensor
    """`(n, K + 1)`, background last."""
    deltas: Tensor
    """`(n, K, 4)`: a refinement for every class."""

    def deltas_of(self, labels: Tensor) -> Tensor:
        """Refinements `(n, 4)` for one class `(n,)` of each region."""
        return self.deltas[torch.arange(labels.shape[0], device=labels.device), labels]

    def per_image(self, boxes: list[Tensor]) -> list[BoxPredictions]:
        """Share the predictions out among the images whose boxes `(n_i, 4)` they are for."""
        counts = [of_image.shape[0] for of_image in boxes]
        return [BoxPredictions(*own) for own in zip(self.logits.split(counts), self.deltas.split(counts), strict=True)]


class BoxHead(nn.Module):
    """`num_convs` 3x3 convolutions with BatchNorm, `num_linear` layers of `fc_width`, and two linear outputs.

    Mask R-CNN has none and two, the cascade four and one. The papers' cascade normalises over all GPUs
    (SyncBatchNorm), which distributed training makes of BatchNorm.
    """

    def __init__(self, channels: int, num_classes: int, *, num_convs: int, num_linear: int, fc_width: int):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(num_convs):
            conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        layers.append(nn.Flatten())
        width = channels * BOX_SIDE**2
        for _ in range(num_linear):
            linear = nn.Linear(width, fc_width)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU(inplace=True)]
            width = fc_width
        self.trunk = nn.Sequential(*layers)
        self.classes = nn.Linear(width, num_classes + 1)
        self.boxes = nn.Linear(width, 4 * num_classes)
        for layer, std in ((self.classes, 0.01), (self.boxes, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, regions: Tensor) -> BoxPredictions:
        """Predict from pooled features `(n, channels, 7, 7)`."""
        hidden = self.trunk(regions)
        return BoxPredictions(self.classes(hidden), self.boxes(hidden).unflatten(1, (-1, 4)))


def positive_deltas(predictions: BoxPredictions, labels: Tensor) -> Tensor:
    """Refinements `(p, 4)` of the regions with an object, for its class; labels `(n,)`, K for background."""
    chosen = (labels < predictions.deltas.shape[1]).nonzero().flatten()
    return predictions.deltas[chosen, labels[chosen]].float()


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits `(n, K + 1)` with labels `(n,)`, over all sampled regions of the batch."""
    count = shares.total_count(labels.shape[0])
    return functional.cross_entropy(logits.float(), labels, reduction="sum") / max(count, 1)


def refined_boxes(
    predictions: BoxPredictions, boxes: Tensor, labels: Tensor | None, size: Grid, stds: Sequence[float]
) -> Tensor:
    """Boxes `(n, 4)` of an image of (height, width), refined for their classes and clipped to it.

    Those with the label K, background, or all of them without `labels`, are refined for their likeliest class.
    """
    likeliest = predictions.logits[:, :-1].argmax(dim=1)
    classes = likeliest if labels is None else torch.where(labels < predictions.deltas.shape[1], labels, likeliest)
    return decode_deltas(predictions.deltas_of(classes), boxes, stds, size)


def box_detections(
    predictions: BoxPredictions,
    boxes: Tensor,
    size: Grid,
    *,
    stds: Sequence[float],
    score_threshold: float,
    iou: float,
    limit: int,
) -> Detections:
    """What regions `(n, 4)` of one image of (height, width) turn out to be, after class-wise suppression.

    A region counts once for every class whose probability exceeds `score_threshold`, with that class's box.
    """
    probabilities = predictions.logits.float().softmax(dim=1)[:, :-1]
    regions, labels = (probabilities > score_threshold).nonzero(as_tuple=True)
    scores = probabilities[regions, labels]
    refined = decode_deltas(predictions.deltas[regions, labels], boxes[regions], stds, size)
    kept = keep_best(refined, scores, labels, iou=iou, limit=limit)
    return Detections(refined[kept], scores[kept], labels[kept])
