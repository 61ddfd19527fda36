"""Whether stored masks are what COCO's compressed run lengths can be: each covers its image, no more and no less.

A mask is a row of run lengths down the columns, beginning with zeros. From the fourth on, a run is stored as the
difference to the one two before. Each number is written in groups of five bits, lowest first, one character per group
(48 + group, + 32 where another group follows); the highest bit of the last group is the sign.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_FIRST_CHARACTER, _MORE, _SIGN, _BITS = 48, 32, 16, 5
_MOST_CHARACTERS = 7
"""Of one number, five bits each."""
_MOST_PIXELS = 1 << 32
"""Of an image in pycocotools."""
_BYTES_AT_ONCE = 1 << 20


def check_run_lengths(counts: NDArray[np.uint8], lengths: NDArray[np.integer], sizes: NDArray[np.integer]) -> None:
    """Check n masks: their characters one after the other, characters per mask `(n,)`, height and width `(n, 2)`.

    Raises ValueError that names the first wrong mask.
    """
    if (lengths < 1).any() or (sizes < 1).any():
        raise ValueError("a mask has no content")
    pixels = sizes.astype(np.int64).prod(axis=1)
    if (pixels >= _MOST_PIXELS).any():
        raise ValueError(f"mask {int(np.argmax(pixels >= _MOST_PIXELS))} is too large")
    ends = np.cumsum(lengths, dtype=np.int64)
    if (int(ends[-1]) if len(ends) else 0) != len(counts):
        raise ValueError(f"masks have {len(counts)} characters instead of {int(ends[-1]) if len(ends) else 0}")
    for first, last in _chunks(ends):
        begin = int(ends[first] - lengths[first])
        wrong = _wrong(counts[begin : int(ends[last - 1])], lengths[first:last].astype(np.int64), pixels[first:last])
        if wrong.any():
            raise ValueError(f"mask {first + int(np.flatnonzero(wrong)[0])} does not cover its image")


def _chunks(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of masks of about a megabyte."""
    first = 0
    while first < len(ends):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _BYTES_AT_ONCE, side="right")))
        yield first, last
        first = last


def _wrong(characters: NDArray[np.uint8], lengths: NDArray[np.int64], pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which masks are wrong, bool `(n,)`."""
    groups = characters.astype(np.int64) - _FIRST_CHARACTER
    ends = np.cumsum(lengths)
    mask_of_character = np.repeat(np.arange(len(lengths)), lengths)
    final = (groups & _MORE) == 0
    wrong = np.bincount(mask_of_character[(groups < 0) | (groups >= 2 * _MORE)], minlength=len(lengths)) > 0
    wrong |= ~final[ends - 1]
    # A number that runs on into the next mask is cut at the end of its own, so that only its own is wrong.
    final[ends - 1] = True

    last = np.flatnonzero(final)
    first = np.concatenate([[0], last[:-1] + 1])
    size = last - first + 1
    mask_of_number = mask_of_character[last]
    wrong |= np.bincount(mask_of_number[size > _MOST_CHARACTERS], minlength=len(lengths)) > 0
    place = np.minimum(np.arange(len(groups)) - np.repeat(first, size), _MOST_CHARACTERS)
    numbers = np.add.reduceat((groups & (_MORE - 1)) << (_BITS * place), first)
    negative = (groups[last] & _SIGN) != 0
    numbers -= np.where(negative, np.int64(1) << (_BITS * np.minimum(size, _MOST_CHARACTERS)), 0)

    per_mask = np.bincount(mask_of_number, minlength=len(lengths))
    index = np.arange(len(numbers)) - np.repeat(np.cumsum(per_mask) - per_mask, per_mask)
    odd, even = index % 2 == 1, (index % 2 == 0) & (index > 0)
    runs = np.where(odd, _sums(numbers * odd, per_mask), np.where(even, _sums(numbers * even, per_mask), numbers))
    # No run is longer than its image, so that no sum can overflow.
    beyond = (runs < 0) | (runs > pixels[mask_of_number])
    wrong |= np.bincount(mask_of_number[beyond], minlength=len(lengths)) > 0
    return wrong | (np.add.reduceat(runs, np.cumsum(per_mask) - per_mask) != pixels)


def _sums(values: NDArray[np.int64], per_mask: NDArray[np.int64]) -> NDArray[np.int64]:
    """Running sums that begin anew with each mask."""
    total = np.cumsum(values)
    before = np.concatenate([[0], total])[np.cumsum(per_mask) - per_mask]
    return total - np.repeat(before, per_mask)
