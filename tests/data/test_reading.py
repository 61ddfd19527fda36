"""Reading in workers is reading in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dit_bench.data.reading import read_batches
from dit_bench.errors import DataError, UsageError

# with fewer cores than workers, as on a shared machine, the result is the same
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")


def read(position: int, index: int) -> tuple[int, torch.Tensor]:
    if index == 13:
        raise DataError(f"image {index} is broken", remedy="mend it")
    if index == 14:
        raise UsageError("another failure")
    return position, torch.full((2,), index)


def collate(samples: list[tuple[int, torch.Tensor]]) -> tuple[list[int], torch.Tensor]:
    return [position for position, _ in samples], torch.stack([tensor for _, tensor in samples])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order(workers: int) -> None:
    positions = [[(0, 5), (1, 3)], [(2, 5)], [(3, 1), (4, 1), (5, 9)]]
    batches = list(read_batches(read, iter(positions), collate, workers))
    assert [batch[0] for batch in batches] == [[0, 1], [2], [3, 4, 5]]
    assert [batch[1][:, 0].tolist() for batch in batches] == [[5, 3], [5], [1, 1, 9]]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_first_failure_is_raised_when_its_batch_is_due(workers: int) -> None:
    batches = read_batches(read, [[(0, 1)], [(1, 2), (2, 13), (3, 14)], [(4, 3)]], collate, workers)
    assert next(batches)[0] == [0]
    with pytest.raises(DataError) as caught:
        next(batches)
    assert str(caught.value) == "image 13 is broken — mend it"


def test_nothing_is_read_before_it_is_asked_for() -> None:
    def positions() -> Iterator[list[tuple[int, int]]]:
        yield [(0, 1)]
        raise AssertionError("asked for too early")

    batches = read_batches(read, positions(), collate, 0)
    assert next(batches)[0] == [0]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_generator_is_left_alone(workers: int) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    list(read_batches(read, [[(0, 1)], [(1, 2)]], collate, workers))
    assert torch.equal(torch.rand(1), expected)
