"""Masks over boxes, as detectors predict them, become run lengths of whole images.

A detector gives, for each detection, probabilities on a regular grid over its box. The grid's cell (r, c) stands for
the point at its centre; between the centres the probability is interpolated linearly, beyond the outermost ones it
falls to zero half a cell outside of the box. A pixel belongs to the mask where the probability at its centre reaches
one half: this is what mmdetection's pasting computes with `grid_sample`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from dit_bench.cost.formulas import Grid

THRESHOLD = 0.5
_MASKS_AT_ONCE = 128
"""pycocotools 2.0.11 cannot measure more than 255 in one call."""


def paste_masks(probabilities: NDArray[np.floating], boxes: NDArray[np.floating], size: Grid) -> NDArray[np.bool_]:
    """Masks bool `(n, H, W)` of an image of that size, from grids `(n, s, s)` over boxes `(n, 4)` x1, y1, x2, y2."""
    masks = np.zeros((len(boxes), *size), np.bool_)
    for mask, grid, box in zip(masks, probabilities, boxes, strict=True):
        _paste(mask, grid, box)
    return masks


def encode_masks(probabilities: NDArray[np.floating], boxes: NDArray[np.floating], size: Grid) -> list[dict[str, Any]]:
    """The masks of `paste_masks` as COCO's compressed run lengths: `size` [H, W] and `counts`, text for JSON."""
    # One canvas for all, in the order of the run lengths; each detection wipes its own window again.
    canvas = np.zeros(size, np.uint8, order="F")
    encoded = []
    for grid, box in zip(probabilities, boxes, strict=True):
        window = _paste(canvas, grid, box)
        encoded.append(as_run_lengths(canvas))
        canvas[window] = 0
    return encoded


def as_run_lengths(mask: NDArray[Any]) -> dict[str, Any]:
    """COCO's compressed run lengths of a mask `(H, W)`, bool or uint8 of 0 and 1; counts are text."""
    encoded: Any = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def decode_masks(run_lengths: Sequence[dict[str, Any]]) -> NDArray[np.bool_]:
    """Masks bool `(n, H, W)` of run lengths of one image; n ≥ 1."""
    objects: Any = list(run_lengths)
    return np.moveaxis(coco_mask.decode(objects), -1, 0).astype(np.bool_)


def mask_areas(run_lengths: Sequence[dict[str, Any]]) -> list[float]:
    """Pixels of each mask of compressed run lengths; they may belong to images of different sizes."""
    areas: list[float] = []
    for start in range(0, len(run_lengths), _MASKS_AT_ONCE):
        objects: Any = run_lengths[start : start + _MASKS_AT_ONCE]
        areas += map(float, np.asarray(coco_mask.area(objects)))
    return areas


def _paste(mask: NDArray[Any], grid: NDArray[np.floating], box: NDArray[np.floating]) -> tuple[slice, slice]:
    """Set a mask's pixels inside a box, and return the window that was written; all others keep their value."""
    height, width = mask.shape
    left, top, right, bottom = (float(edge) for edge in box)
    rows, columns = _inside(top, bottom, height), _inside(left, right, width)
    if rows.stop > rows.start and columns.stop > columns.start:
        down, across = _weights(top, bottom, rows, grid.shape[0]), _weights(left, right, columns, grid.shape[1])
        # Transposed, so that the columns of the image are contiguous as in the canvas of the run lengths.
        mask[rows, columns] = (across @ (grid.T.astype(np.float64) @ down.T) >= THRESHOLD).T
    return rows, columns


def _inside(first: float, last: float, size: int) -> slice:
    """The pixels that an interval touches; none where it is empty. Beyond it no probability reaches one half."""
    if not last > first:
        return slice(0, 0)
    return slice(min(max(int(np.floor(first)), 0), size), min(max(int(np.ceil(last)), 0), size))


def _weights(first: float, last: float, pixels: slice, cells: int) -> NDArray[np.float64]:
    """Weights `(pixels, cells)` with which cells that fill an interval are interpolated at the pixels' centres."""
    centres = np.arange(pixels.start, pixels.stop) + 0.5
    position = (centres - first) * (cells / (last - first)) - 0.5
    below = np.floor(position)
    # Two cells of zeros at each end take what lies outside of the grid.
    place = np.clip(below, -2, cells).astype(np.int64) + 2
    weights = np.zeros((len(centres), cells + 4))
    pixel = np.arange(len(centres))
    weights[pixel, place] = 1 - (position - below)
    weights[pixel, place + 1] = position - below
    return weights[:, 2:-2]
