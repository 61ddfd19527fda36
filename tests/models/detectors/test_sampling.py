"""How many of each kind are sampled, that all candidates have their chance, and that a seed decides."""

from __future__ import annotations

import pytest
import torch

from dit_bench.models.detectors.matching import IGNORED, NEGATIVE
from dit_bench.models.detectors.sampling import sample


@pytest.mark.parametrize(
    ("positives", "negatives", "count", "fraction", "expected"),
    [
        (300, 1000, 256, 0.5, (128, 128)),  # the proposals' sampler
        (300, 1000, 512, 0.25, (128, 384)),  # the region heads'
        (10, 1000, 256, 0.5, (10, 246)),  # negatives fill up
        (300, 20, 256, 0.5, (128, 20)),  # positives do not
        (0, 1000, 512, 0.25, (0, 512)),
        (3, 0, 512, 0.25, (3, 0)),
        (0, 0, 512, 0.25, (0, 0)),
    ],
)
def test_counts(positives: int, negatives: int, count: int, fraction: float, expected: tuple[int, int]) -> None:
    torch.manual_seed(0)
    kinds = [torch.arange(positives), torch.full((negatives,), NEGATIVE), torch.full((50,), IGNORED)]
    matches = torch.cat(kinds)[torch.randperm(positives + negatives + 50)]
    chosen = sample(matches, count=count, positive_fraction=fraction)
    assert tuple(len(kind) for kind in chosen) == expected
    assert (matches[chosen[0]] >= 0).all()
    assert (matches[chosen[1]] == NEGATIVE).all()
    assert len(torch.cat(chosen).unique()) == sum(expected)


def test_every_candidate_is_as_likely_and_the_seed_decides() -> None:
    torch.manual_seed(0)
    matches = torch.tensor([0, NEGATIVE] * 20)
    hits = torch.zeros(40)
    for _ in range(500):
        hits[torch.cat(sample(matches, count=8, positive_fraction=0.5))] += 1
    # Each of 20 is drawn 4 times in 20: 100 times in 500, with a deviation of 9.
    assert (hits - 100).abs().max() < 40
    draws = []
    for _ in range(2):
        torch.manual_seed(7)
        draws.append(torch.cat(sample(matches, count=8, positive_fraction=0.5)))
    assert torch.equal(*draws)
