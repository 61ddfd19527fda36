"""Cross-entropy of the pixels of label maps, which all segmenters share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from dit_bench.models import shares

IGNORED = 255
"""Label of a pixel that counts neither in the loss nor in the metric."""


def pixel_cross_entropy(logits: Tensor, labels: Tensor, *, average_ignored: bool) -> Tensor:
    """Cross-entropy of logits `(B, K, h, w)`, resized bilinearly to the size of the labels `(B, H, W)`: a scalar.

    Ignored pixels cost nothing. With `average_ignored` they count in the mean all the same, as in mmsegmentation;
    without, the mean is over the labelled pixels of the batch, and 0 if there is none.
    """
    logits = functional.interpolate(logits.float(), size=labels.shape[1:], mode="bilinear", align_corners=False)
    total = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    if average_ignored:
        return total / shares.total_count(labels.numel())
    return total / shares.total((labels != IGNORED).sum()).clamp(min=1)
