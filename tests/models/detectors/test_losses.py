"""Losses against torchvision and against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou

from dit_bench.models.detectors.losses import (
    distribution_focal_loss,
    focal_loss_sum,
    giou_loss,
    quality_focal_loss,
    smooth_l1,
)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_focal_loss_by_hand() -> None:
    """−α (1 − p)² log p for the positive, −(1 − α) p² log(1 − p) for the negatives."""
    logits = torch.tensor([[logit(0.8), logit(0.3)], [logit(0.01), logit(0.6)]])
    targets = torch.tensor([[1, 0], [0, 0]])
    by_hand = -0.25 * 0.2**2 * math.log(0.8) - 0.75 * sum(p**2 * math.log(1 - p) for p in (0.3, 0.01, 0.6))
    assert focal_loss_sum(logits, targets).item() == pytest.approx(by_hand, rel=1e-5)
    half = -0.5 * (0.2 * math.log(0.8) + sum(p * math.log(1 - p) for p in (0.3, 0.01, 0.6)))
    assert focal_loss_sum(logits, targets, alpha=0.5, gamma=1).item() == pytest.approx(half, rel=1e-5)


def test_giou_is_torchvisions_diagonal() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 100, 2, generator=generator) * 50
    boxes, targets = torch.cat([corners, corners + 1 + 30 * torch.rand(2, 100, 2, generator=generator)], dim=2)
    torch.testing.assert_close(giou_loss(boxes, targets), 1 - generalized_box_iou(boxes, targets).diagonal())
    apart = giou_loss(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[3.0, 0, 4, 1]]))
    assert apart.item() == pytest.approx(1.5), "hull 4, union 2"


def test_smooth_l1_by_hand() -> None:
    predictions, targets = torch.tensor([0.0, 0.05, -2.0]), torch.zeros(3)
    torch.testing.assert_close(smooth_l1(predictions, targets), torch.tensor([0.0, 0.05, 2.0]))
    ninth = smooth_l1(predictions, targets, beta=1 / 9)
    torch.testing.assert_close(ninth, torch.tensor([0.0, 0.05**2 * 9 / 2, 2 - 1 / 18]))


def test_quality_focal_loss_by_hand() -> None:
    """|y − p|² times the cross-entropy with the soft target."""
    logits = torch.tensor([[logit(0.6), logit(0.2)], [logit(0.9), logit(0.5)]])
    targets = torch.tensor([[0.9, 0.0], [0.0, 0.5]])
    first = 0.3**2 * -(0.9 * math.log(0.6) + 0.1 * math.log(0.4))
    by_hand = first - 0.2**2 * math.log(0.8) - 0.9**2 * math.log(0.1)
    assert quality_focal_loss(logits, targets).item() == pytest.approx(by_hand, rel=1e-5)
    linear = 0.3 * first / 0.3**2 - 0.2 * math.log(0.8) - 0.9 * math.log(0.1)
    assert quality_focal_loss(logits, targets, beta=1).item() == pytest.approx(linear, rel=1e-5)


def test_quality_focal_loss_with_hard_targets_is_focal_loss_without_alpha() -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    targets = functional.one_hot(torch.arange(20) % 5, 5)
    expected = 2 * focal_loss_sum(logits, targets, alpha=0.5)
    torch.testing.assert_close(quality_focal_loss(logits, targets), expected)


def test_distribution_focal_loss_by_hand() -> None:
    """Target 1.25 of the probabilities 0.1, 0.2, 0.3, 0.4: −0.75 log 0.2 − 0.25 log 0.3."""
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log().repeat(3, 1) + torch.tensor([[0.0], [5.0], [-2.0]])
    losses = distribution_focal_loss(logits, torch.tensor([1.25, 2.0, 0.0]))
    by_hand = [-0.75 * math.log(0.2) - 0.25 * math.log(0.3), -math.log(0.3), -math.log(0.1)]
    torch.testing.assert_close(losses, torch.tensor(by_hand))


def test_distribution_focal_loss_is_least_where_the_expectation_is_the_target() -> None:
    """Its minimum puts 1 − d and d on the neighbouring bins, whose mean is the target."""
    logits = torch.zeros(1, 17, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = distribution_focal_loss(logits, torch.tensor([6.3])).sum()
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[arg-type]
    probabilities = logits.detach().softmax(dim=1)
    assert (probabilities * torch.arange(17)).sum().item() == pytest.approx(6.3, abs=1e-2)
    assert probabilities[0, 6].item() == pytest.approx(0.7, abs=1e-2)


def test_nothing_and_half_precision() -> None:
    none, logits = torch.zeros(0, 4), torch.zeros(0, 17)
    for loss in (giou_loss(none, none), smooth_l1(none, none), distribution_focal_loss(logits, torch.zeros(0))):
        assert loss.sum().item() == 0
    assert focal_loss_sum(torch.zeros(0, 3), torch.zeros(0, 3)).item() == 0
    assert quality_focal_loss(torch.zeros(0, 3), torch.zeros(0, 3)).item() == 0
    half = torch.ones(2, 3, dtype=torch.bfloat16)
    results = [focal_loss_sum(half, half), quality_focal_loss(half, half), smooth_l1(half, half)]
    assert all(result.dtype == torch.float32 for result in results)
