"""Assignment against all permutations of small matrices, and what is not a number is refused."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor

from dit_bench.errors import NonFiniteLossError
from dit_bench.models.detectors.hungarian import assign


def _least_sum(cost: Tensor) -> float:
    """Over every way to give the columns different rows (or the rows different columns)."""
    if cost.shape[0] < cost.shape[1]:
        cost = cost.T
    rows, columns = cost.shape
    return min(
        sum(float(cost[row, column]) for column, row in enumerate(chosen))
        for chosen in permutations(range(rows), columns)
    )


def test_least_sum_of_all_permutations() -> None:
    torch.manual_seed(0)
    costs = [torch.randn(shape) for shape in ((5, 3), (3, 5), (4, 4), (6, 1), (1, 4), (7, 2))]
    for cost, (rows, columns) in zip(costs, assign(costs), strict=True):
        assert len(rows) == len(columns) == min(cost.shape)
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert len(set(columns.tolist())) == len(columns)
        assert float(cost[rows, columns].sum()) == pytest.approx(_least_sum(cost), abs=1e-5)


def test_greedy_choice_is_not_taken() -> None:
    """The cheapest pair of all, 0 and 0, would force 100 on the other."""
    ((rows, columns),) = assign([torch.tensor([[1.0, 2.0], [3.0, 100.0]])])
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [1, 0]


def test_images_without_objects_have_no_pairs() -> None:
    pairs = assign([torch.zeros(4, 0), torch.tensor([[2.0], [1.0]]), torch.zeros(4, 0)])
    assert [rows.tolist() for rows, _ in pairs] == [[], [1], []]
    assert all(part.dtype == torch.int64 for pair in pairs for part in pair)
    assert all(len(rows) == 0 for rows, _ in assign([torch.zeros(4, 0)]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(NonFiniteLossError, match=r"1 of 10 costs .* not finite.*lower optimiser\.lr"):
        assign([torch.zeros(2, 2), torch.tensor([[0.0, 0, 0], [0, value, 0]])])
