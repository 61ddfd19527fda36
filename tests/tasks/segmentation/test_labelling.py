"""Labels from logits against resizing and arg-max in one go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from dit_bench.errors import DataError
from dit_bench.tasks.segmentation import labelling
from dit_bench.tasks.segmentation.labelling import predict_labels


def resized(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear interpolation between the centres of cells by scipy, the outermost values carried on beyond them."""
    places = [(np.arange(new) + 0.5) * old / new - 0.5 for new, old in zip(size, logits.shape[1:], strict=True)]
    grid = np.meshgrid(*places, indexing="ij")
    return np.stack([map_coordinates(one.astype(np.float64), grid, order=1, mode="nearest") for one in logits])


@pytest.fixture
def logits() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(150, 9, 13)


@pytest.mark.parametrize("size", [(9, 13), (36, 52), (41, 30), (7, 11)])
def test_logits_are_resized_and_the_best_class_wins(logits: torch.Tensor, size: tuple[int, int]) -> None:
    labels = predict_labels(logits, size)
    assert labels.dtype == torch.uint8
    assert labels.shape == size
    expected = resized(logits.numpy(), size)
    best, second = np.sort(expected, axis=0)[[-1, -2]]
    clear = best - second > 1e-4
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels.numpy()[clear], expected.argmax(axis=0)[clear])


def test_two_steps_are_another_function(logits: torch.Tensor) -> None:
    size, through = (41, 30), (36, 52)
    expected = resized(resized(logits.numpy(), through), size)
    best, second = np.sort(expected, axis=0)[[-1, -2]]
    clear = best - second > 1e-4
    labels = predict_labels(logits, size, through=through).numpy()
    np.testing.assert_array_equal(labels[clear], expected.argmax(axis=0)[clear])
    assert (labels != predict_labels(logits, size).numpy()).any()


@pytest.mark.parametrize("values", [1, 41 * 30, 41 * 30 * 7, 41 * 30 * 149])
@pytest.mark.parametrize("through", [None, (36, 52)])
def test_groups_of_classes_give_the_same_labels(
    logits: torch.Tensor, monkeypatch: pytest.MonkeyPatch, values: int, through: tuple[int, int] | None
) -> None:
    logits[140] = logits[3]  # equally good classes in different groups
    whole = predict_labels(logits, (41, 30), through=through)
    monkeypatch.setattr(labelling, "MOST_VALUES", values)
    assert torch.equal(predict_labels(logits, (41, 30), through=through), whole)
    assert (whole == 3).any()
    assert not (whole == 140).any()


def test_half_precision_is_widened_before_it_is_resized() -> None:
    """Between 1000 and 1001 half precision has no room for the four steps that interpolation makes."""
    logits = torch.stack([torch.tensor([[1000.0, 1001.0]]), torch.tensor([[1000.4, 1000.4]])])
    halved = logits.half()
    assert torch.equal(predict_labels(halved, (1, 16)), predict_labels(halved.float(), (1, 16)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_refused(logits: torch.Tensor, value: float) -> None:
    logits[7, 2, 2] = value
    with pytest.raises(DataError, match="logits are not finite"):
        predict_labels(logits, (20, 20))
