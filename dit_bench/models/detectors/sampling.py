"""Random choice of the references that a loss sees, so that background does not drown the few objects."""

from __future__ import annotations

import torch
from torch import Tensor

from dit_bench.models.detectors.matching import NEGATIVE


def sample(matches: Tensor, *, count: int, positive_fraction: float) -> tuple[Tensor, Tensor]:
    """Numbers of randomly chosen positive and negative references of one image, `count` in all where there are enough.

    `matches` `(n,)` is coded as in `matching.py`. At most `positive_fraction` of `count` are positive; negatives fill
    the rest, so that there are more of them where positives are few. Draws from torch's global generator of the CPU,
    the same on every device.
    """
    positives = _draw((matches >= 0).nonzero().flatten(), int(count * positive_fraction))
    negatives = _draw((matches == NEGATIVE).nonzero().flatten(), count - positives.shape[0])
    return positives, negatives


def _draw(candidates: Tensor, count: int) -> Tensor:
    if candidates.shape[0] <= count:
        return candidates
    return candidates[torch.randperm(candidates.shape[0])[:count].to(candidates.device)]
