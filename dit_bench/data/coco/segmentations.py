"""The outlines of many objects in a few flat arrays, checked when they are stored and drawn when they are asked for.

COCO's training part has some 40 million coordinates. As Python numbers they take more than a gigabyte, and every
worker process would copy them bit by bit, because reading a Python object writes its reference count.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

LARGEST_COORDINATE_PX = 1e5
"""Drawing a polygon takes memory in proportion to its length, so that wild coordinates are refused."""
SHORTEST_POLYGON = 6
"""Numbers of a polygon with three points; pycocotools takes four numbers for a box."""

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class SegmentationTable:
    """Polygons or run lengths of n objects.

    `numbers` float64 holds the coordinates (x, y, x, y, …) and the run lengths of all parts in a row; part p has
    `numbers[part_starts[p] : part_starts[p + 1]]`; object k has the parts `object_starts[k]` to
    `object_starts[k + 1] − 1`: any number of polygons, or one list of run lengths where `is_run_length[k]`.
    """

    numbers: np.ndarray
    part_starts: np.ndarray
    object_starts: np.ndarray
    is_run_length: np.ndarray
    short_polygons: int
    """Polygons of fewer than three points, which were left out."""

    def __len__(self) -> int:
        return len(self.is_run_length)

    @property
    def present(self) -> np.ndarray:
        """Which objects have an outline at all, bool (n,)."""
        return np.diff(self.object_starts) > 0

    def _parts(self, index: int) -> list[np.ndarray]:
        starts = self.part_starts[self.object_starts[index] : self.object_starts[index + 1] + 1]
        return [self.numbers[first:end] for first, end in pairwise(starts)]

    def draw(self, index: int, size: Size) -> np.ndarray:
        """Return the mask of an object in an image of `size`, bool (h, w); all False for an object without outline."""
        parts = self._parts(index)
        if not parts:
            return np.zeros(size, bool)
        if self.is_run_length[index]:
            return draw_runs(parts[0].astype(np.int64), size)
        outlines: Any = coco_mask.frPyObjects([part.tolist() for part in parts], *size)
        return coco_mask.decode(coco_mask.merge(outlines)).astype(bool)

    def as_coco(self, index: int, size: Size) -> list[list[float]] | dict[str, Any]:
        """Return an object's `segmentation` as COCO writes it: polygons, or uncompressed RLE."""
        parts = self._parts(index)
        if self.is_run_length[index]:
            return {"size": list(size), "counts": parts[0].astype(np.int64).tolist()}
        return [part.tolist() for part in parts]


class SegmentationTableBuilder:
    """Collects the outlines of objects, one after the other."""

    def __init__(self) -> None:
        self._numbers = array("d")
        self._part_starts = array("q", [0])
        self._object_starts = array("q", [0])
        self._is_run_length = array("b")
        self._short_polygons = 0

    def add(self, segmentation: Any, size: Size) -> None:
        """Append the `segmentation` of an object in an image of `size`; None and [] are objects without outline.

        Raises:
            ValueError: it is neither polygons nor RLE, or does not fit the image; the message says how.
        """
        if isinstance(segmentation, dict):
            self._add_part(check_runs(segmentation, size))
        elif segmentation is None or isinstance(segmentation, list):
            for polygon in segmentation or ():
                _check_polygon(polygon)
                if len(polygon) < SHORTEST_POLYGON:
                    self._short_polygons += 1
                else:
                    self._add_part(polygon)
        else:
            raise ValueError(f"segmentation must be a list of polygons or RLE, not {type(segmentation).__name__}")
        self._is_run_length.append(isinstance(segmentation, dict))
        self._object_starts.append(len(self._part_starts) - 1)

    def _add_part(self, numbers: Sequence[float]) -> None:
        self._numbers.extend(numbers)
        self._part_starts.append(len(self._numbers))

    def finish(self) -> SegmentationTable:
        """Return what was collected."""
        return SegmentationTable(
            numbers=np.array(self._numbers, np.float64),
            part_starts=np.array(self._part_starts, np.int64),
            object_starts=np.array(self._object_starts, np.int64),
            is_run_length=np.array(self._is_run_length, bool),
            short_polygons=self._short_polygons,
        )


def _check_polygon(polygon: Any) -> None:
    if not isinstance(polygon, list) or not all(type(value) in (int, float) for value in polygon):
        raise ValueError("segmentation holds a polygon that is not a list of numbers")
    if len(polygon) % 2:
        raise ValueError(f"segmentation holds a polygon of {len(polygon)} numbers, which are no pairs of x and y")
    # the sum is finite only where every number is; comparisons alone let NaN pass
    if polygon and not (
        -LARGEST_COORDINATE_PX <= min(polygon) <= max(polygon) <= LARGEST_COORDINATE_PX and math.isfinite(sum(polygon))
    ):
        raise ValueError("segmentation holds a coordinate that is not finite or far outside every image")


def check_runs(rle: dict[str, Any], size: Size) -> list[int]:
    """Return the run lengths of an RLE, compressed or not, that must cover an image of `size` exactly.

    Raises:
        ValueError: a key is missing, the size is another one, or the runs do not add up to it.
    """
    for key in ("size", "counts"):
        if key not in rle:
            raise ValueError(f"segmentation is RLE without {key!r}")
    if rle["size"] != list(size):
        raise ValueError(f"segmentation is RLE of size {rle['size']!r}, but the image has {list(size)} (h, w)")
    counts = rle["counts"]
    if isinstance(counts, str):
        counts = uncompressed_runs(counts)
    elif not isinstance(counts, list) or not all(type(run) is int for run in counts):
        raise ValueError("segmentation is RLE whose counts are neither whole numbers nor text")
    # pycocotools leaves pixels uninitialised where runs end too early
    if any(run < 0 for run in counts) or sum(counts) != size[0] * size[1]:
        raise ValueError(f"segmentation is RLE whose runs cover {sum(counts)} of {size[0] * size[1]} pixels")
    return counts


def uncompressed_runs(counts: str) -> list[int]:
    """Return the run lengths behind COCO's compressed `counts`.

    Each character carries five bits of a number, lowest first, and a flag that more follow; numbers are signed, and
    from the fourth on they are differences to the number two places before.

    Raises:
        ValueError: a character that COCO does not write, or an end in the middle of a number.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("segmentation is RLE whose compressed counts are damaged")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("segmentation is RLE whose compressed counts are damaged")
    return runs


def draw_runs(runs: np.ndarray, size: Size) -> np.ndarray:
    """Return the mask bool (h, w) of run lengths that go down the columns and begin with background."""
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(flat.reshape(size[1], size[0]).T)
