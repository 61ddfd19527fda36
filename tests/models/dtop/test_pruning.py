"""The pruning rule against plain loops over images and classes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dit_bench.models.dtop.pruning import VARIANTS, PruningRule, Variant, class_means, decide


def expected(scores: Tensor, images: Tensor, num_images: int, rule: PruningRule) -> list[bool]:
    """The rule as the paper says it: of each class, the easy tokens but the k most confident ones leave."""
    leaves = [False] * len(scores)
    threshold = torch.tensor(rule.threshold).item()
    for image in range(num_images):
        own = [token for token in range(len(scores)) if images[token] == image]
        best = {token: max(scores[token].tolist()) for token in own}
        ranked = sorted(own, key=lambda token: (-best[token], token))
        if rule.variant == "top-share":
            for token in ranked[: math.floor(rule.share * len(own) + 0.5)]:
                leaves[token] = True
            continue
        for label in range(scores.shape[1]):
            mine = [token for token in ranked if scores[token].tolist().index(best[token]) == label]
            easy = [token for token in mine if best[token] > threshold]
            kept = rule.keep if rule.variant in ("top-k", "average-top-k") else 0
            for token in easy[kept:]:
                leaves[token] = True
    return leaves


@settings(max_examples=150, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS),
    counts=st.lists(st.integers(0, 25), min_size=1, max_size=4),
    num_classes=st.integers(1, 6),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 0.6, 0.75, 0.9, 1.0]),
    keep=st.integers(0, 7),
    share=st.sampled_from([0.0, 0.1, 0.35, 0.5, 1.0]),
    levels=st.sampled_from([3, 10, 10**6]),
    seed=st.integers(0, 10**6),
)
def test_rule_is_the_one_of_plain_loops(
    variant: Variant,
    counts: list[int],
    num_classes: int,
    threshold: float,
    keep: int,
    share: float,
    levels: int,
    seed: int,
) -> None:
    """Few levels make many ties, within tokens and between them, and scores that equal the threshold."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, levels + 1, (sum(counts), num_classes), generator=generator) / levels
    images = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    rule = PruningRule(variant, threshold, keep, share)
    decision = decide(scores, images, len(counts), rule)
    assert decision.leaves.tolist() == expected(scores, images, len(counts), rule)
    assert decision.labels.tolist() == [row.index(max(row)) for row in scores.tolist()]


def test_threshold_is_strict() -> None:
    scores = torch.tensor([[0.95], [0.9500001], [0.9499999]])
    leaves = decide(scores, torch.zeros(3, dtype=torch.int64), 1, PruningRule("remove", 0.95)).leaves
    assert leaves.tolist() == [False, True, False]


def test_each_class_of_each_image_keeps_k() -> None:
    """Two images, one of a single class: with everything easy, k tokens per class remain, in each image."""
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3])
    images = torch.tensor([0] * 8 + [1] * 6)
    scores = torch.full((14, 4), 0.1)
    scores[torch.arange(14), labels] = torch.linspace(0.8, 0.9, 14)
    leaves = decide(scores, images, 2, PruningRule(threshold=0.5, keep=2)).leaves
    # The later tokens of a class are the surer ones.
    assert leaves.int().tolist() == [1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0]


def test_a_tie_keeps_the_first() -> None:
    scores = torch.full((6, 2), 0.75)
    leaves = decide(scores, torch.tensor([0, 0, 0, 1, 1, 1]), 2, PruningRule(threshold=0.5, keep=2)).leaves
    assert leaves.int().tolist() == [0, 0, 1, 0, 0, 1]


def test_a_share_is_of_each_image() -> None:
    scores = torch.linspace(0, 1, 30)[:, None]
    images = torch.arange(2).repeat_interleave(torch.tensor([10, 20]))
    leaves = decide(scores, images, 2, PruningRule("top-share", threshold=1.0, share=0.35)).leaves
    assert torch.bincount(images[leaves]).tolist() == [4, 7]  # 3.5 rounds up
    assert leaves.nonzero().flatten().tolist() == [*range(6, 10), *range(23, 30)]


def test_the_order_of_images_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(40, 3, generator=generator)
    images = torch.arange(2).repeat_interleave(20)
    rule = PruningRule(threshold=0.6, keep=2)
    together = decide(scores, images, 2, rule).leaves
    swapped = decide(scores.roll(20, 0), images, 2, rule).leaves.roll(20)
    alone = torch.cat([decide(part, torch.zeros(20, dtype=torch.int64), 1, rule).leaves for part in scores.split(20)])
    assert together.any()
    assert not together.all()
    assert torch.equal(together, swapped)
    assert torch.equal(together, alone)


def test_no_tokens_no_decision() -> None:
    for variant in VARIANTS:
        decision = decide(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 2, PruningRule(variant, 0.5))
        assert decision.leaves.shape == decision.labels.shape == (0,)


def test_a_token_without_a_score_stays() -> None:
    scores = torch.tensor([[torch.nan, 0.2], [0.9, 0.1], [0.8, 0.1]])
    leaves = decide(scores, torch.zeros(3, dtype=torch.int64), 1, PruningRule("remove", 0.5)).leaves
    assert leaves.tolist() == [False, True, True]


def test_means_are_of_those_that_leave() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 6.0], [100.0, 100.0], [5.0, 1.0], [7.0, 3.0]], requires_grad=True)
    images = torch.tensor([0, 0, 0, 1, 1])
    scores = torch.tensor([[0.9, 0], [0.8, 0], [0.1, 0.2], [0, 0.9], [0, 0.95]])
    decision = decide(scores, images, 2, PruningRule("average", threshold=0.5))
    means, owners = class_means(features, images, decision, 2)
    assert means.tolist() == [[2.0, 4.0], [6.0, 2.0]]
    assert owners.tolist() == [0, 1]
    means.sum().backward()
    assert features.grad is not None
    assert features.grad.tolist() == [[0.5, 0.5], [0.5, 0.5], [0.0, 0.0], [0.5, 0.5], [0.5, 0.5]]
    kept = decide(scores, images, 2, PruningRule("average-top-k", threshold=0.5, keep=1))
    means, owners = class_means(features, images, kept, 2)
    assert means.tolist() == [[3.0, 6.0], [5.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"variant": "topk"}, "unknown pruning variant 'topk', expected one of top-k, remove"),
        ({"threshold": 1.5}, "threshold must be from 0 to 1, got 1.5"),
        ({"threshold": float("nan")}, "threshold must be from 0 to 1"),
        ({"keep": -1}, "keep must be 0 or more, got -1"),
        ({"share": 35}, "share must be from 0 to 1, got 35"),
    ],
)
def test_impossible_rules_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PruningRule(**arguments)


def test_only_a_threshold_of_1_switches_off() -> None:
    assert not PruningRule(threshold=1.0).prunes
    assert PruningRule(threshold=0.999).prunes
    assert PruningRule("top-share", threshold=1.0).prunes
    assert not PruningRule("top-share", threshold=0.5, share=0.0).prunes
