"""Pasted masks: against a slow computation pixel by pixel, against `grid_sample`, and by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torch.nn import functional

from dit_bench.tasks.detection.pasting import as_run_lengths, decode_masks, encode_masks, mask_areas, paste_masks


def _slowly(grid: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Probability of each pixel, from the definition: bilinear between cells' centres, zeros around the grid."""
    rows, columns = grid.shape
    result = np.zeros(size)
    for y, x in np.ndindex(size):
        row = (y + 0.5 - box[1]) / (box[3] - box[1]) * rows - 0.5
        column = (x + 0.5 - box[0]) / (box[2] - box[0]) * columns - 0.5
        for r, c in np.ndindex(grid.shape):
            result[y, x] += grid[r, c] * max(0, 1 - abs(row - r)) * max(0, 1 - abs(column - c))
    return result


def _random(rng: np.random.Generator, count: int, side: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Grids of probabilities, and boxes that lie inside, stand out on every side, or lie outside."""
    height, width = size
    corner = rng.uniform(-0.3, 1, (count, 2)) * (width, height)
    boxes = np.concatenate([corner, corner + rng.uniform(0.02, 1, (count, 2)) * (width, height)], axis=1)
    return rng.random((count, side, side)).astype(np.float32), boxes


def test_pixel_by_pixel() -> None:
    grids, boxes = _random(np.random.default_rng(0), 6, 5, (13, 17))
    pasted = paste_masks(grids, boxes, (13, 17))
    assert pasted.any()
    for mask, grid, box in zip(pasted, grids, boxes, strict=True):
        np.testing.assert_array_equal(mask, _slowly(grid, box, (13, 17)) >= 0.5)


def test_as_grid_sample() -> None:
    size = (48, 61)
    grids, boxes = _random(np.random.default_rng(1), 60, 28, size)
    grids = np.sort(grids.reshape(60, -1)).reshape(grids.shape)  # smooth, so that masks are not just noise
    left, top, right, bottom = torch.from_numpy(boxes).unbind(1)
    across = (torch.arange(size[1]) + 0.5 - left[:, None]) / (right - left)[:, None] * 2 - 1
    down = (torch.arange(size[0]) + 0.5 - top[:, None]) / (bottom - top)[:, None] * 2 - 1
    where = torch.stack([across[:, None].expand(-1, *size), down[:, :, None].expand(-1, *size)], dim=-1)
    values = functional.grid_sample(torch.from_numpy(grids)[:, None].double(), where, align_corners=False)[:, 0]
    pasted = paste_masks(grids, boxes, size)
    assert pasted.any(axis=(1, 2)).mean() > 0.5
    np.testing.assert_array_equal(pasted, (values >= 0.5).numpy())


def test_a_full_grid_covers_the_pixels_whose_centres_lie_in_its_box() -> None:
    ones = np.ones((2, 28, 28), np.float32)
    boxes = np.array([[3.0, 2.0, 7.0, 9.0], [2.6, 1.4, 7.4, 9.6]])
    expected = np.zeros((2, 12, 10), bool)
    expected[0, 2:9, 3:7] = True
    expected[1, 1:10, 3:7] = True  # pixel centres 1.5 to 9.5 and 3.5 to 6.5 are inside
    np.testing.assert_array_equal(paste_masks(ones, boxes, (12, 10)), expected)


@pytest.mark.parametrize(
    "box",
    [
        (5.0, 5.0, 5.0, 9.0),
        (5.0, 5.0, 4.0, 9.0),
        (50.0, 5.0, 60.0, 9.0),
        (-9.0, 5.0, -1.0, 9.0),
        (5.0, 5.0, 5.0 + 1e-40, 6.0),
    ],
)
def test_boxes_without_a_pixel_are_empty(box: tuple[float, ...]) -> None:
    boxes = np.array([box])
    assert not paste_masks(np.ones((1, 28, 28), np.float32), boxes, (20, 20)).any()
    encoded = encode_masks(np.ones((1, 28, 28), np.float32), boxes, (20, 20))
    assert mask_areas(encoded) == [0]
    assert encoded[0]["size"] == [20, 20]


def test_boxes_far_larger_than_the_image() -> None:
    grid = np.zeros((1, 28, 28), np.float32)
    grid[0, :14] = 1
    pasted = paste_masks(grid, np.array([[-1e6, -1e6, 1e6, 1e6]]), (10, 12))
    assert pasted.all() or not pasted.any()
    assert (
        paste_masks(grid, np.array([[0.0, -5.0, 12.0, 15.0]]), (10, 12))[0].sum(axis=1).tolist() == [12] * 5 + [0] * 5
    )


def test_slivers() -> None:
    """A box of a hundredth of a pixel holds the pixel's centre or not; its grid must not reach beyond."""
    ones = np.ones((2, 28, 28), np.float32)
    pasted = paste_masks(ones, np.array([[4.495, 2.0, 4.505, 6.0], [4.6, 2.0, 4.61, 6.0]]), (8, 8))
    assert pasted.sum(axis=(1, 2)).tolist() == [4, 0]


def test_run_lengths_hold_the_pasted_masks() -> None:
    """Also next to each other on one canvas: a mask leaves nothing behind for the next."""
    grids, boxes = _random(np.random.default_rng(2), 40, 28, (37, 53))
    encoded = encode_masks(grids, boxes, (37, 53))
    pasted = paste_masks(grids, boxes, (37, 53))
    objects: Any = encoded
    np.testing.assert_array_equal(coco_mask.decode(objects).transpose(2, 0, 1).astype(bool), pasted)
    np.testing.assert_array_equal(decode_masks(encoded), pasted)
    assert encoded == [as_run_lengths(mask) for mask in pasted]
    assert mask_areas(encoded) == pasted.sum(axis=(1, 2)).tolist()
    assert all(isinstance(entry["counts"], str) for entry in encoded)


def test_areas_of_many_masks() -> None:
    mask = as_run_lengths(np.eye(9, dtype=bool))
    assert mask_areas([mask] * 300) == [9.0] * 300
    assert mask_areas([]) == []


def test_no_masks() -> None:
    nothing = np.zeros((0, 28, 28), np.float32), np.zeros((0, 4))
    assert encode_masks(*nothing, (5, 6)) == []
    assert paste_masks(*nothing, (5, 6)).shape == (0, 5, 6)


def test_a_hundred_masks_take_less_than_a_tenth_of_a_second() -> None:
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 0.5, (100, 2)) * (640, 480)
    boxes = np.concatenate([corner, corner + rng.uniform(0.05, 0.5, (100, 2)) * (640, 480)], axis=1)
    grids = rng.random((100, 28, 28)).astype(np.float32)
    seconds = []
    for _ in range(5):
        start = time.thread_time()
        encode_masks(grids, boxes, (480, 640))
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.1
