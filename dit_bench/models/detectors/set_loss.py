"""Set prediction: every object is matched with one prediction, the rest learn "no object" (DETR, arXiv 2005.12872).

Sparse R-CNN and DETR share all of it but the classification and the coordinates of the L1 term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou

from dit_bench.cost.formulas import Grid
from dit_bench.models import shares
from dit_bench.models.detectors.hungarian import assign
from dit_bench.models.detectors.losses import focal_loss_sum, giou_loss
from dit_bench.models.detectors.relative_boxes import image_scales
from dit_bench.models.detectors.structures import Objects

NO_OBJECT = -1


@dataclass(frozen=True)
class Predictions:
    """What one layer or stage says about a batch."""

    logits: Tensor
    """`(B, n, K)`, or `(B, n, K + 1)` with the background last, as the class term wants it."""
    boxes: Tensor
    """`(B, n, 4)` float32, x1, y1, x2, y2 in pixels."""


class ClassTerm(Protocol):
    """Classification in the matching and in the loss."""

    def costs(self, logits: Tensor, labels: Tensor) -> Tensor:
        """`(n, m)`: cost of giving each of m objects to each of n predictions; both float32."""
        ...

    def loss(self, logits: Tensor, labels: Tensor, num_positives: Tensor) -> Tensor:
        """Scalar over predictions `(n, …)` with labels `(n,)`, `NO_OBJECT` for the unmatched; all float32."""
        ...


class FocalClassTerm:
    """One sigmoid per class, focal loss over the number of positives (Sparse R-CNN)."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        self.alpha, self.gamma = alpha, gamma

    def costs(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The focal loss of the object's class as a positive minus that as a negative."""
        wanted = logits[:, labels]
        probability = wanted.sigmoid()
        as_positive = -self.alpha * (1 - probability) ** self.gamma * functional.logsigmoid(wanted)
        as_negative = -(1 - self.alpha) * probability**self.gamma * functional.logsigmoid(-wanted)
        return as_positive - as_negative

    def loss(self, logits: Tensor, labels: Tensor, num_positives: Tensor) -> Tensor:
        """Sum of the focal losses over the number of positives."""
        onehot = labels[:, None] == torch.arange(logits.shape[1], device=logits.device)
        return focal_loss_sum(logits, onehot, self.alpha, self.gamma) / num_positives


class SoftmaxClassTerm:
    """Softmax over the classes and a background of little weight (DETR)."""

    def __init__(self, background_weight: float = 0.1):
        self.background_weight = background_weight

    def costs(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Minus the probability of the object's class."""
        return -logits.softmax(dim=-1)[:, labels]

    def loss(self, logits: Tensor, labels: Tensor, num_positives: Tensor) -> Tensor:
        """Weighted mean of the cross-entropies: the sum over positives + `background_weight` · negatives."""
        background = logits.shape[1] - 1
        weights = logits.new_ones(background + 1)
        weights[background] = self.background_weight
        targets = labels.where(labels != NO_OBJECT, labels.new_tensor(background))
        total = functional.cross_entropy(logits, targets, weights, reduction="sum")
        return total / shares.total(weights[targets].sum())


class SetLoss:
    """Classification, L1 and generalised IoU with the same weights in the matching and in the loss.

    L1 is taken between `coordinates` of the boxes x1, y1, x2, y2 relative to the image. Both box terms are sums over
    the matched predictions, over their number in the batch (at least 1).
    """

    def __init__(
        self,
        classes: ClassTerm,
        coordinates: Callable[[Tensor], Tensor],
        *,
        class_weight: float,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
    ):
        self.classes, self.coordinates = classes, coordinates
        self.class_weight, self.l1_weight, self.giou_weight = class_weight, l1_weight, giou_weight

    def __call__(
        self, part: str, predictions: Sequence[Predictions], sizes: Sequence[Grid], objects: Sequence[Objects]
    ) -> dict[str, Tensor]:
        """The weighted terms of every layer or stage, each matched by itself.

        They are named `<part>1.classification`, `<part>1.l1`, `<part>1.giou` and so on; `sizes` are the images'
        (height, width) before padding. Raises NonFiniteLossError if the cost of a match is not a finite number.
        """
        layers = [Predictions(layer.logits.float(), layer.boxes.float()) for layer in predictions]
        scales = image_scales(sizes, layers[0].boxes.device)
        # Everything is matched in one go: a stay on the CPU per batch, not per layer and image.
        pairs = assign(
            [
                self.costs(layer.logits[image], layer.boxes[image], scales[image], found)
                for layer in layers
                for image, found in enumerate(objects)
            ]
        )
        # Every layer has as many matches.
        num_matched = sum(len(chosen) for chosen, _ in pairs[: len(objects)])
        num_positives = shares.total(scales.new_tensor(float(num_matched))).clamp(min=1)
        terms: dict[str, Tensor] = {}
        for number, layer in enumerate(layers):
            of_layer = pairs[number * len(objects) : (number + 1) * len(objects)]
            for name, term in self._losses(layer, of_layer, scales, objects, num_positives).items():
                terms[f"{part}{number + 1}.{name}"] = term
        return terms

    @torch.no_grad()
    def costs(self, logits: Tensor, boxes: Tensor, scale: Tensor, objects: Objects) -> Tensor:
        """`(n, m)` matching costs of one image; `boxes` `(n, 4)` in pixels, `scale` `(4,)` of `image_scales`."""
        targets = objects.boxes.float()
        distances = torch.cdist(self.coordinates(boxes / scale), self.coordinates(targets / scale), p=1)
        return (
            self.class_weight * self.classes.costs(logits, objects.labels)
            + self.l1_weight * distances
            - self.giou_weight * generalized_box_iou(boxes, targets)
        )

    def _losses(
        self,
        layer: Predictions,
        pairs: Sequence[tuple[Tensor, Tensor]],
        scales: Tensor,
        objects: Sequence[Objects],
        num_positives: Tensor,
    ) -> dict[str, Tensor]:
        labels = torch.full(layer.logits.shape[:2], NO_OBJECT, dtype=torch.int64, device=layer.logits.device)
        for image, (chosen, numbers) in enumerate(pairs):
            labels[image, chosen] = objects[image].labels[numbers]
        boxes = torch.cat([layer.boxes[image, chosen] for image, (chosen, _) in enumerate(pairs)])
        targets = torch.cat([objects[image].boxes[numbers].float() for image, (_, numbers) in enumerate(pairs)])
        scale = torch.cat([scales[image].expand(len(chosen), 4) for image, (chosen, _) in enumerate(pairs)])
        distances = (self.coordinates(boxes / scale) - self.coordinates(targets / scale)).abs()
        of_classes = self.classes.loss(layer.logits.flatten(0, 1), labels.flatten(), num_positives)
        return {
            "classification": self.class_weight * of_classes,
            "l1": self.l1_weight * distances.sum() / num_positives,
            "giou": self.giou_weight * giou_loss(boxes, targets).sum() / num_positives,
        }
