"""Random choice of the references that a loss sees, so that background does not drown the few objects."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dit_bench.models import shares
from dit_bench.models.detectors.matching import NEGATIVE


def sample(matches: Tensor, *, count: int, positive_fraction: float) -> tuple[Tensor, Tensor]:
    """Numbers of randomly chosen positive and negative references of one image, `count` in all where there are enough.

    `matches` `(n,)` is coded as in `matching.py`. At most `positive_fraction` of `count` are positive; negatives fill
    the rest, so that there are more of them where positives are few. Draws from torch's global generator of the CPU,
    the same on every device.
    """
    return sample_images([matches], count=count, positive_fraction=positive_fraction)[0]


def sample_images(matches: Sequence[Tensor], *, count: int, positive_fraction: float) -> list[tuple[Tensor, Tensor]]:
    """`sample` for the images at hand, one after the other.

    How many numbers an image draws depends on what it holds. So, where other processes have a part of the batch, all
    of them draw for all of its images in the same order.
    """
    candidates = [
        ((of_image >= 0).nonzero().flatten(), (of_image == NEGATIVE).nonzero().flatten()) for of_image in matches
    ]
    numbers = torch.tensor([[len(positives), len(negatives)] for positives, negatives in candidates]).view(-1, 2)
    of_batch, rows = shares.of_all_images(numbers)
    chosen = []
    for num_positives, num_negatives in of_batch.tolist():
        positives = _draw(num_positives, int(count * positive_fraction))
        wanted = min(num_positives, int(count * positive_fraction))
        chosen.append((positives, _draw(num_negatives, count - wanted)))
    return [
        (_taken(positives, chosen[row][0]), _taken(negatives, chosen[row][1]))
        for row, (positives, negatives) in zip(rows, candidates, strict=True)
    ]


def _draw(num_candidates: int, count: int) -> Tensor | None:
    """Which of the candidates are chosen; None for all of them."""
    return None if num_candidates <= count else torch.randperm(num_candidates)[:count]


def _taken(candidates: Tensor, chosen: Tensor | None) -> Tensor:
    return candidates if chosen is None else candidates[chosen.to(candidates.device)]
