"""Suppression, class by class."""

from __future__ import annotations

import torch

from dit_bench.models.detectors.suppression import keep_best

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5], [30, 30, 40, 40], [0, 0, 10, 8]])
SCORES = torch.tensor([0.6, 0.9, 0.5, 0.7, 0.8])


def test_the_best_of_a_class_survives() -> None:
    """IoUs with the second box: 0.8, 1, 0.625."""
    labels = torch.tensor([0, 0, 0, 0, 1])
    assert keep_best(BOXES, SCORES, labels, iou=0.7, limit=10).tolist() == [1, 4, 3, 2]
    assert keep_best(BOXES, SCORES, labels, iou=0.6, limit=10).tolist() == [1, 4, 3]
    assert keep_best(BOXES, SCORES, torch.zeros(5, dtype=torch.int64), iou=0.6, limit=10).tolist() == [1, 3]


def test_limit_keeps_the_best_and_half_precision_is_taken() -> None:
    labels = torch.arange(5)
    assert keep_best(BOXES.bfloat16(), SCORES.bfloat16(), labels, iou=0.5, limit=2).tolist() == [1, 4]


def test_nothing_to_keep() -> None:
    kept = keep_best(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), iou=0.5, limit=3)
    assert kept.shape == (0,)
