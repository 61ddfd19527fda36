"""The loss of every segmenter, against torch's own mean and hand-computed cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.models.segmenters.base import IGNORED, Segmenter


class FirstMap(Segmenter):
    """The finest map is the scores."""

    def logits(self, maps: list[Tensor]) -> Tensor:
        return maps[0]


def _labels(*size: int, num_classes: int = 3) -> Tensor:
    labels = torch.randint(num_classes, size, generator=torch.Generator().manual_seed(1))
    labels[..., 0] = IGNORED
    return labels


def test_the_mean_is_over_labelled_pixels() -> None:
    torch.manual_seed(0)
    scores, labels = torch.randn(2, 3, 4, 6), _labels(2, 4, 6)
    mean = functional.cross_entropy(scores, labels, ignore_index=IGNORED)
    torch.testing.assert_close(FirstMap([3], 3).loss([scores], labels), mean)


def test_a_class_of_a_uniform_score_costs_log_k() -> None:
    assert FirstMap([3], 3).loss([torch.zeros(1, 3, 2, 2)], _labels(1, 8, 8)).item() == pytest.approx(math.log(3))


def test_scores_are_resized_to_the_labels_with_corners_not_aligned() -> None:
    """Two cells over four pixels: 0, 1/4, 3/4 and 1 of the way from the first cell's scores to the second's."""
    scores = torch.tensor([[[[0.0, 4.0]], [[0.0, 0.0]]]])
    labels = torch.tensor([[[1, 1, 0, 0]]])
    expected = [math.log(1 + math.exp(gap)) for gap in (0.0, 1.0, -3.0, -4.0)]
    assert FirstMap([2], 2).loss([scores], labels).item() == pytest.approx(sum(expected) / 4)


def test_a_batch_without_labels_has_no_loss_and_no_gradient() -> None:
    scores = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = FirstMap([3], 3).loss([scores], torch.full((1, 8, 8), IGNORED))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_half_precision_scores_are_judged_in_single_precision() -> None:
    torch.manual_seed(0)
    scores, labels = (20 * torch.randn(1, 3, 4, 4)).bfloat16(), _labels(1, 16, 16)
    segmenter = FirstMap([3], 3)
    loss = segmenter.loss([scores], labels)
    assert loss.dtype == segmenter([scores], (16, 16)).dtype == torch.float32
    torch.testing.assert_close(loss, segmenter.loss([scores.float()], labels))


def test_the_label_of_ignored_pixels_is_no_class() -> None:
    assert isinstance(FirstMap([3], 255), nn.Module)
    with pytest.raises(AssertionError, match="256 classes"):
        FirstMap([3], 256)
