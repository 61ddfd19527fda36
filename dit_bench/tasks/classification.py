"""Image classification: the training loss under mixup and label smoothing, and top-1/top-5 hits."""

from __future__ import annotations

from timm.data import Mixup
from torch import Tensor
from torch.nn import functional

from dit_bench.recipes.settings import AugmentSettings


def build_mixup(augment: AugmentSettings, num_classes: int) -> Mixup | None:
    """Timm's batch mixup/cutmix of the settings (smoothing folded into its targets), or None if both are off."""
    if augment.mixup_alpha == 0.0 and augment.cutmix_alpha == 0.0:
        return None
    return Mixup(
        mixup_alpha=augment.mixup_alpha,
        cutmix_alpha=augment.cutmix_alpha,
        prob=augment.mixup_prob,
        switch_prob=augment.mixup_switch_prob,
        mode="batch",
        label_smoothing=augment.label_smoothing,
        num_classes=num_classes,
    )


def training_loss(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of logits `(B, K)` with labels `(B,)`, smoothed, or with soft targets `(B, K)` as they are."""
    if targets.dim() == 2:
        return functional.cross_entropy(logits.float(), targets)
    return functional.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)


def top_k_hits(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Whether the label `(B,)` is among the k highest logits `(B, K)`; all classes count if there are fewer than k."""
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return (best == labels.unsqueeze(1)).any(dim=1)
