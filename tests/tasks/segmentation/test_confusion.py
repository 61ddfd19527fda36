"""Counts and figures against scikit-learn, torchmetrics and cases worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from dit_bench.tasks.segmentation.confusion import Confusion


def images(seed: int, num_classes: int, count: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """Predictions that are right in half of the pixels, and labels of which some are ignored; sizes differ."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        size = tuple(rng.integers(3, 20, 2))
        labels = rng.integers(0, num_classes, size, dtype=np.uint8)
        prediction = np.where(rng.random(size) < 0.5, labels, rng.integers(0, num_classes, size, dtype=np.uint8))
        labels[rng.random(size) < 0.2] = 255
        made.append((prediction, labels))
    return made


def counted(pairs: list[tuple[np.ndarray, np.ndarray]], num_classes: int) -> Confusion:
    confusion = Confusion(num_classes)
    for prediction, labels in pairs:
        confusion.add(prediction, labels)
    return confusion


def flat(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
    prediction, labels = (np.concatenate([pair[k].ravel() for pair in pairs]).astype(np.int64) for k in range(2))
    return torch.from_numpy(prediction), torch.from_numpy(labels)


@pytest.mark.parametrize("num_classes", [2, 3, 11, 150])
def test_the_matrix_is_scikit_learns(num_classes: int) -> None:
    pairs = images(num_classes, num_classes)
    prediction, labels = (tensor.numpy() for tensor in flat(pairs))
    expected = confusion_matrix(labels[labels != 255], prediction[labels != 255], labels=list(range(num_classes)))
    confusion = counted(pairs, num_classes)
    assert confusion.matrix.dtype == np.int64
    np.testing.assert_array_equal(confusion.matrix, expected)


@pytest.mark.parametrize(("seed", "num_classes"), [(0, 2), (1, 5), (2, 11), (3, 150)])
def test_figures_are_those_of_torchmetrics(seed: int, num_classes: int) -> None:
    """150 classes on some 500 pixels: many of them occur nowhere or on one side only."""
    pairs = images(seed, num_classes)
    if num_classes > 2:
        for prediction, labels in pairs:
            labels[labels == 1] = 2  # class 1 is predicted but never true
            prediction[prediction == 0] = 2  # class 0 is true but never predicted
    preds, target = flat(pairs)
    options: dict[str, Any] = {"num_classes": num_classes, "ignore_index": 255}
    figures = counted(pairs, num_classes).figures()

    iou = multiclass_jaccard_index(preds, target, average="none", **options)
    # a class is absent where what to say of a division by zero matters
    absent = iou != multiclass_jaccard_index(preds, target, average="none", zero_division=1.0, **options)
    assert [value is None for value in figures.class_iou] == absent.tolist()
    assert bool(absent.any()) == (num_classes == 150)
    ours = torch.tensor([value or 0.0 for value in figures.class_iou])
    torch.testing.assert_close(ours, 100 * iou, atol=1e-4, rtol=0)
    macro = multiclass_jaccard_index(preds, target, average="macro", **options)
    assert figures.miou_present == pytest.approx(100 * macro.item(), abs=1e-4)
    assert figures.miou_all == pytest.approx(100 * iou.mean().item(), abs=1e-4)

    recall = multiclass_accuracy(preds, target, average="none", **options)
    occurs = torch.bincount(target[target != 255], minlength=num_classes) > 0
    assert [accuracy is not None for accuracy in figures.class_accuracy] == occurs.tolist()
    assert figures.mean_class_accuracy == pytest.approx(100 * recall[occurs].mean().item(), abs=1e-4)
    assert figures.miou_true == pytest.approx(100 * iou[occurs].mean().item(), abs=1e-4)
    micro = multiclass_accuracy(preds, target, average="micro", **options)
    assert figures.pixel_accuracy == pytest.approx(100 * micro.item(), abs=1e-4)


def test_a_case_worked_out_by_hand() -> None:
    labels = np.array([[0, 0, 0, 1], [1, 255, 255, 1]], np.uint8)
    prediction = np.array([[0, 0, 1, 1], [1, 0, 3, 2]], np.uint8)
    figures = counted([(prediction, labels)], 5).figures()
    # I = 2, 2, 0; T = 3, 3, 0; P = 2, 3, 1; the predictions on ignored pixels, 0 and 3, count nowhere
    assert figures.class_iou == (pytest.approx(200 / 3), 50.0, 0.0, None, None)
    assert figures.class_accuracy == (pytest.approx(200 / 3), pytest.approx(200 / 3), None, None, None)
    assert figures.miou_present == pytest.approx((200 / 3 + 50 + 0) / 3)
    assert figures.miou_all == pytest.approx((200 / 3 + 50) / 5)
    assert figures.miou_true == pytest.approx((200 / 3 + 50) / 2)
    assert figures.pixel_accuracy == pytest.approx(400 / 6)
    assert figures.mean_class_accuracy == pytest.approx(200 / 3)


def test_nothing_labelled_has_no_figures() -> None:
    confusion = counted([(np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8))], 3)
    figures = confusion.figures()
    assert figures.class_iou == figures.class_accuracy == (None, None, None)
    assert figures.miou_present is figures.miou_all is figures.miou_true is None
    assert figures.pixel_accuracy is figures.mean_class_accuracy is None


def test_the_set_is_counted_before_anything_is_divided() -> None:
    """Two images, of which the mean over images would be another figure."""
    one = np.zeros((1, 9), np.uint8), np.zeros((1, 9), np.uint8)
    other = np.zeros((1, 2), np.uint8), np.array([[0, 1]], np.uint8)
    figures = counted([one, other], 2).figures()
    assert figures.class_iou == (pytest.approx(1000 / 11), 0.0)


@given(seed=st.integers(0, 10_000), num_classes=st.integers(1, 20), cut=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_images_add_up_in_any_grouping(seed: int, num_classes: int, cut: int) -> None:
    pairs = images(seed, num_classes, count=5)
    whole, per_image = Confusion(num_classes), []
    for prediction, labels in pairs:
        per_image.append(whole.add(prediction, labels))
    halves = counted(pairs[:cut], num_classes) + counted(pairs[cut:][::-1], num_classes)
    np.testing.assert_array_equal(halves.matrix, whole.matrix)
    assert whole.figures() == halves.figures()
    np.testing.assert_array_equal(sum(counts.truth for counts in per_image), whole.matrix.sum(axis=1))
    np.testing.assert_array_equal(sum(counts.predicted for counts in per_image), whole.matrix.sum(axis=0))
    np.testing.assert_array_equal(sum(counts.intersection for counts in per_image), np.diagonal(whole.matrix))
    for (prediction, labels), counts in zip(pairs, per_image, strict=True):
        alone = counted([(prediction, labels)], num_classes)
        np.testing.assert_array_equal(counts.truth, alone.matrix.sum(axis=1))
        assert int(counts.intersection.sum()) == int(((prediction == labels) & (labels != 255)).sum())


def test_large_counts_stay_exact() -> None:
    """More pixels than a float32 counts, as in the 2,000 images of ADE20K."""
    confusion = Confusion(2)
    confusion.matrix[:] = [[10**9 + 1, 0], [1, 10**9]]
    figures = confusion.figures()
    assert figures.class_iou[0] == 100 * (10**9 + 1) / (10**9 + 2)
    assert figures.pixel_accuracy is not None
    assert figures.pixel_accuracy < 100
