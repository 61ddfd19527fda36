"""Terms of detectors' losses, in float32 whatever comes in; the caller normalises."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

PRIOR_PROBABILITY = 0.01
"""Score of every class everywhere before training (RetinaNet, arXiv 1708.02002, §4.1)."""
PRIOR_LOGIT = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)


def focal_loss_sum(logits: Tensor, targets_onehot: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss (arXiv 1708.02002) summed over references and classes; both `(n, K)`, targets 0 or 1."""
    return sigmoid_focal_loss(logits.float(), targets_onehot.float(), alpha=alpha, gamma=gamma, reduction="sum")


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 − generalised IoU (arXiv 1902.09630) of each pair of boxes `(n, 4)`; `(n,)` in [0, 2]."""
    return generalized_box_iou_loss(boxes.float(), targets.float(), reduction="none")


def smooth_l1(predictions: Tensor, targets: Tensor, beta: float = 0.0) -> Tensor:
    """Element-wise: |d| − beta / 2, and d² / (2 beta) for |d| below beta; beta 0 is plain L1. Shape of the inputs."""
    return functional.smooth_l1_loss(predictions.float(), targets.float(), beta=beta, reduction="none")


def quality_focal_loss(logits: Tensor, targets: Tensor, beta: float = 2.0) -> Tensor:
    """Quality focal loss (GFL, arXiv 2006.04388, Eq. 2) summed over references and classes.

    Both `(n, K)`; a target is the quality, 0 … 1, in the object's class and 0 elsewhere. Each cell costs
    |target − p|^beta times the binary cross-entropy of p = sigmoid(logit) with the soft target.
    """
    logits, targets = logits.float(), targets.float()
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return ((targets - logits.sigmoid()).abs().pow(beta) * cross_entropy).sum()


def distribution_focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Distribution focal loss (GFL, Eq. 6) of logits `(n, bins)` over the bins 0 … bins − 1; `(n,)`.

    Cross-entropy with the two bins on either side of the target `(n,)`, 0 ≤ target < bins − 1, weighted by nearness.
    """
    logits, targets = logits.float(), targets.float()
    left = targets.long()
    of_right = targets - left
    log_probabilities = functional.log_softmax(logits, dim=1)
    pairs = log_probabilities.gather(1, torch.stack([left, left + 1], dim=1))
    return -((1 - of_right) * pairs[:, 0] + of_right * pairs[:, 1])
