"""DETR's position code, cell by cell from the formula."""

from __future__ import annotations

import math

import pytest
import torch

from dit_bench.models.detectors.sine_positions import sine_positions

CPU = torch.device("cpu")


def _code(place: int, last: int, half: int) -> list[float]:
    angle = place / (last + 1e-6) * 2 * math.pi
    code = []
    for channel in range(half):
        scaled = angle / 10000 ** (2 * (channel // 2) / half)
        code.append(math.sin(scaled) if channel % 2 == 0 else math.cos(scaled))
    return code


@pytest.mark.parametrize("width", [8, 24])
def test_formula(width: int) -> None:
    grid, valid = (4, 6), [(4, 6), (3, 2)]
    codes = sine_positions(valid, grid, width, CPU)
    assert codes.shape == (2, 24, width)
    for image, (rows, columns) in enumerate(valid):
        for row in range(rows):
            for column in range(columns):
                expected = _code(row + 1, rows, width // 2) + _code(column + 1, columns, width // 2)
                cell = codes[image, row * 6 + column]
                torch.testing.assert_close(cell, torch.tensor(expected), atol=1e-5, rtol=0)


def test_more_padding_changes_no_code() -> None:
    tight = sine_positions([(3, 5)], (3, 5), 16, CPU).view(3, 5, 16)
    wide = sine_positions([(3, 5)], (7, 6), 16, CPU).view(7, 6, 16)
    assert torch.equal(wide[:3, :5], tight)
    assert bool(wide.isfinite().all())


def test_cells_of_an_image_differ() -> None:
    codes = sine_positions([(25, 42)], (25, 42), 256, CPU)[0]
    assert torch.cdist(codes, codes).fill_diagonal_(1).min() > 0.05
