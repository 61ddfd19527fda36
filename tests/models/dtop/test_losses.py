"""Losses against hand-computed cases and the formulas in plain numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dit_bench.models.dtop.losses import mask_set_loss
from dit_bench.models.pixel_loss import pixel_cross_entropy


def _labels() -> Tensor:
    """Classes 0 and 2 of four, and ignored pixels, in the first image; class 3 in the second."""
    labels = torch.full((2, 4, 6), 3)
    labels[0] = 0
    labels[0, :2, 3:] = 2
    labels[0, 3] = 255
    return labels


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _expected(masks: np.ndarray, classes: np.ndarray, labels: np.ndarray, exclude_ignored: bool) -> float:
    """The loss at label resolution, class token by class token."""
    ways, weighted, weights, focal, dice, count = classes.shape[2], 0.0, 0.0, 0.0, 0.0, 0
    for image in range(len(labels)):
        for label in range(masks.shape[1]):
            there = (labels[image] == label).any()
            own = label if ways > 2 else 0
            target, weight = (own, 1.0) if there else (ways - 1, 0.1)
            logits = classes[image, label]
            weighted += weight * (np.log(np.exp(logits).sum()) - logits[target])
            weights += weight
            if not there:
                continue
            count += 1
            counted = labels[image] != 255 if exclude_ignored else np.ones_like(labels[image], bool)
            p, t = _sigmoid(masks[image, label][counted]), (labels[image] == label)[counted].astype(float)
            correct = np.where(t == 1, p, 1 - p)
            alpha = np.where(t == 1, 0.25, 0.75)
            focal += (-alpha * (1 - correct) ** 2 * np.log(correct)).mean()
            dice += 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    return weighted / weights + (20 * focal + dice) / max(count, 1)


@pytest.mark.parametrize("exclude_ignored", [False, True])
@pytest.mark.parametrize("ways", [2, 5])
def test_set_loss_is_the_formula(ways: int, exclude_ignored: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(2, 4, 4, 6, generator=generator, dtype=torch.float64)
    classes = torch.randn(2, 4, ways, generator=generator, dtype=torch.float64)
    labels = _labels()
    found = mask_set_loss(masks, classes, labels, exclude_ignored=exclude_ignored)
    expected = _expected(masks.numpy(), classes.numpy(), labels.numpy(), exclude_ignored)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_masks_are_upsampled_before_the_sigmoid() -> None:
    masks, classes = torch.randn(1, 2, 2, 2), torch.zeros(1, 2, 2)
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    large = functional.interpolate(masks, size=(8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(mask_set_loss(masks, classes, labels), mask_set_loss(large, classes, labels))


def test_a_perfect_answer_costs_next_to_nothing() -> None:
    labels = _labels()
    onehot = torch.stack([labels == label for label in range(4)], dim=1).float()
    present = onehot.flatten(2).amax(dim=2)
    classes = 40 * torch.stack([present, 1 - present], dim=2)
    assert mask_set_loss(80 * onehot - 40, classes, labels).item() < 1e-3


def test_an_image_without_labels_teaches_that_nothing_is_there() -> None:
    masks, classes = torch.randn(1, 3, 2, 2, requires_grad=True), torch.zeros(1, 3, 2, requires_grad=True)
    loss = mask_set_loss(masks, classes, torch.full((1, 4, 4), 255))
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    assert masks.grad is not None, "distributed training needs a gradient for everything"
    assert not masks.grad.any()
    assert classes.grad is not None
    assert (classes.grad[..., 0] > 0).all()


def test_cross_entropy_averages_over_ignored_pixels_too() -> None:
    logits, labels = torch.randn(2, 4, 4, 6), _labels()
    per_pixel = functional.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    torch.testing.assert_close(pixel_cross_entropy(logits, labels, average_ignored=True), per_pixel.sum() / 48)
    torch.testing.assert_close(pixel_cross_entropy(logits, labels, average_ignored=False), per_pixel.sum() / 42)
    nothing = torch.full((1, 4, 4), 255)
    assert pixel_cross_entropy(torch.randn(1, 3, 2, 2), nothing, average_ignored=True).item() == 0
    assert pixel_cross_entropy(torch.randn(1, 3, 2, 2), nothing, average_ignored=False).item() == 0


def test_logits_are_upsampled_to_the_labels() -> None:
    logits, labels = torch.randn(1, 3, 2, 3), torch.randint(0, 3, (1, 8, 12))
    large = functional.interpolate(logits, size=(8, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(
        pixel_cross_entropy(logits, labels, average_ignored=True), functional.cross_entropy(large, labels)
    )


def test_half_precision_is_computed_in_float32() -> None:
    masks, classes, labels = torch.randn(2, 4, 2, 3), torch.randn(2, 4, 2), _labels()
    rounded = (masks.bfloat16(), classes.bfloat16())
    masks, classes = rounded[0].float(), rounded[1].float()
    assert mask_set_loss(*rounded, labels).dtype == torch.float32
    torch.testing.assert_close(mask_set_loss(*rounded, labels), mask_set_loss(masks, classes, labels))
    assert pixel_cross_entropy(rounded[0], labels, average_ignored=True).dtype == torch.float32
