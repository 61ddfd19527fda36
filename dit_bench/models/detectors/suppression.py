"""Non-maximum suppression: the last step of every detector that proposes an object more than once."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import batched_nms


def keep_best(boxes: Tensor, scores: Tensor, labels: Tensor, *, iou: float, limit: int) -> Tensor:
    """Numbers of the boxes that survive, best first, `limit` at most.

    Of boxes `(n, 4)` with the same label `(n,)` that overlap by more than `iou`, the one with the highest score `(n,)`
    survives.
    """
    return batched_nms(boxes.float(), scores.float(), labels, iou)[:limit]
