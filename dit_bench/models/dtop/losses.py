"""The set loss of attention to mask, in float32; that of FCN's heads is `pixel_cross_entropy`.

The assignment of attention to mask is fixed: class token i answers for class i (SegViT's code; DToP's heads differ only
in the number of ways of the class loss). Labels are `(B, H, W)` with classes 0 … K − 1 and `IGNORED` for no class.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from dit_bench.models import shares
from dit_bench.models.pixel_loss import IGNORED

AUXILIARY_FCN_WEIGHT = 0.4
CLASS_WEIGHT, FOCAL_WEIGHT, DICE_WEIGHT = 1.0, 20.0, 1.0
NO_OBJECT_WEIGHT = 0.1


def mask_set_loss(
    mask_logits: Tensor, class_logits: Tensor, labels: Tensor, *, exclude_ignored: bool = False
) -> Tensor:
    """Class loss + 20 · focal + dice of mask logits `(B, K, h, w)` and class logits `(B, K, ways)`.

    With two ways the target of a class token is 0 where its class is in the image and 1 elsewhere (DToP); with
    K + 1 it is the class itself or, elsewhere, K (SegViT). Ignored pixels belong to no mask; they count as background
    of every class, unless excluded.
    """
    present = _present(labels, mask_logits.shape[1])
    images, classes = present.nonzero(as_tuple=True)
    num_masks = torch.as_tensor(float(len(images)), device=labels.device)
    loss = CLASS_WEIGHT * _class_loss(class_logits.float(), present)
    if len(images) == 0:
        shares.total(num_masks)  # every share of the batch takes part, whatever it holds
        return loss + 0.0 * mask_logits.sum()
    num_masks = shares.total(num_masks).clamp(min=1)
    logits = mask_logits.float()[images, classes].unsqueeze(1)
    logits = functional.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False).flatten(1)
    targets = (labels[images] == classes[:, None, None]).flatten(1).float()
    counted = (labels[images] != IGNORED).flatten(1).float() if exclude_ignored else torch.ones_like(targets)
    focal, dice = _focal(logits, targets, counted), _dice(logits, targets, counted)
    return loss + (FOCAL_WEIGHT * focal + DICE_WEIGHT * dice) / num_masks


def _present(labels: Tensor, num_classes: int) -> Tensor:
    """`(B, K)`: whether an image holds a pixel of each class."""
    found = torch.zeros(len(labels), max(IGNORED, num_classes) + 1, dtype=torch.bool, device=labels.device)
    found.scatter_(1, labels.flatten(1), True)
    return found[:, :num_classes]


def _class_loss(logits: Tensor, present: Tensor) -> Tensor:
    """Weighted mean of the cross-entropies of all class tokens."""
    num_classes, ways = logits.shape[1:]
    assert ways in (2, num_classes + 1), f"{ways} ways for {num_classes} classes"
    own = torch.arange(num_classes, device=logits.device) if ways == num_classes + 1 else torch.zeros_like(present[0])
    targets = torch.where(present, own.long(), ways - 1)
    weights = logits.new_ones(ways)
    weights[-1] = NO_OBJECT_WEIGHT
    logits, targets = logits.flatten(0, 1), targets.flatten()
    if shares.current() is None:
        return functional.cross_entropy(logits, targets, weight=weights)
    total = functional.cross_entropy(logits, targets, weight=weights, reduction="sum")
    return total / shares.total(weights[targets].sum())


def _focal(logits: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """Focal loss of maps `(M, P)`, mean over counted pixels, summed over maps."""
    each = sigmoid_focal_loss(logits, targets, alpha=0.25, gamma=2.0, reduction="none")
    return ((each * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)).sum()


def _dice(logits: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """1 − (2 Σ p t + 1) / (Σ p + Σ t + 1) of maps `(M, P)`, summed over maps."""
    probabilities = logits.sigmoid() * counted
    overlap = 2 * (probabilities * targets).sum(dim=1)
    return (1 - (overlap + 1) / (probabilities.sum(dim=1) + (targets * counted).sum(dim=1) + 1)).sum()
