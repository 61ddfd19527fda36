"""From the numbers in a label image to labels: where 0 stands for nothing, every class moves down by one.

This is the only place where they move.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from dit_bench.data.segmentation.segmentation_set import IGNORED
from dit_bench.errors import UsageError

ZeroLabel = Literal["ignore", "class"]

MAX_CLASSES = 254
"""A label image has one byte per pixel; 255 is taken, and 0 too where it stands for nothing."""


@lru_cache(maxsize=8)
def _tables(zero_label: ZeroLabel, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The label of each of the 256 values, uint8 (256,), and which values there may be, bool (256,)."""
    first = 1 if zero_label == "ignore" else 0
    table, allowed = np.full(256, IGNORED, np.uint8), np.zeros(256, bool)
    table[first : first + num_classes] = np.arange(num_classes)
    allowed[: first + num_classes] = True
    allowed[IGNORED] = True
    return table, allowed


def value_range(zero_label: ZeroLabel, num_classes: int, *, with_ignored: bool = True) -> str:
    """Return the values that a label image may hold, in words; `with_ignored` if 255 is among them."""
    last = num_classes if zero_label == "ignore" else num_classes - 1
    return f"0 … {last} and {IGNORED}" if with_ignored else f"0 … {last}"


def foreign_values(
    values: np.ndarray, zero_label: ZeroLabel, num_classes: int, *, with_ignored: bool = True
) -> dict[int, int]:
    """Return the pixels per value of a label image uint8 (H, W) that it may not hold, in ascending order.

    These are the values that stand for no class, except 255 if `with_ignored`.
    """
    allowed = _tables(zero_label, num_classes)[1].copy()
    allowed[IGNORED] = with_ignored
    counts = np.bincount(values.ravel(), minlength=256)
    counts[allowed] = 0
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def as_labels(values: np.ndarray, zero_label: ZeroLabel, num_classes: int) -> np.ndarray:
    """Return labels uint8 of the values of a label image: 0 … K − 1, or 255 where a pixel is ignored.

    With `ignore`, 0 is ignored and 1 … K become 0 … K − 1; with `class`, 0 … K − 1 stay. 255 is ignored in both.
    """
    return _tables(zero_label, num_classes)[0][values]


def check_class_names(names: tuple[str, ...]) -> None:
    """Check that names of classes are of use.

    Raises:
        UsageError: names the key and what is wrong: an empty name, one that stands twice, or too many.
    """
    remedy = "segmentation.classes lists each class once, in the order of the labels"
    blank = [place for place, name in enumerate(names, start=1) if not name.strip()]
    if blank:
        raise UsageError(f"segmentation.classes has an empty name at place {blank[0]} of {len(names)}", remedy=remedy)
    places: dict[str, int] = {}
    for place, name in enumerate((name.strip() for name in names), start=1):
        if name in places:
            raise UsageError(
                f"segmentation.classes has {name!r} at places {places[name]} and {place}",
                remedy=remedy,
            )
        places[name] = place
    if len(names) > MAX_CLASSES:
        raise UsageError(
            f"segmentation.classes has {len(names)} names",
            remedy=f"at most {MAX_CLASSES}: a label image has one byte per pixel",
        )
