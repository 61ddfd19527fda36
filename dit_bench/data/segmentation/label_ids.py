"""From the ids of a release of annotations to 0 … K: the ids of the classes ascending become 1 … K."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dit_bench.errors import DataError

_FOREIGN = 255
"""In a table: an id that must not occur. There are at most 254 classes."""


@dataclass(frozen=True)
class IdMap:
    """What becomes of each id."""

    table: np.ndarray
    """uint8 (last id + 1,)."""
    foreign: Mapping[int, str]
    """What to say of ids that must not occur, where there is something to say."""
    remedy: str

    def numbers(self, ids: np.ndarray, what: str) -> np.ndarray:
        """Return the numbers uint8 of ids, whole numbers from 0 on, of the same shape.

        Raises:
            DataError: an id that must not occur; `what` holds the ids.
        """
        numbers = self.table[np.minimum(ids, len(self.table) - 1)]
        numbers[ids >= len(self.table)] = _FOREIGN
        wrong = np.unique(ids[numbers == _FOREIGN])
        if wrong.size:
            first, further = int(wrong[0]), wrong.size - 1
            note = f" ({self.foreign[first]})" if first in self.foreign else ""
            others = f", and {further} further foreign ids" if further else ""
            raise DataError(
                f"{what} has the id {first}{note} in {np.count_nonzero(ids == first)} places{others}; ids go from 0 to"
                f" {len(self.table) - 1}",
                remedy=self.remedy,
            )
        return numbers


def ranked_ids(ids: tuple[int, ...], last_id: int, *, foreign: Mapping[int, str] | None, remedy: str) -> IdMap:
    """Return the map of `ids`, ascending, to 1 … K; 0 stays 0.

    The other ids up to `last_id` become 0 when `foreign` is None; otherwise they must not occur, and `foreign` says
    what they are.
    """
    assert all(a < b for a, b in zip((0, *ids), (*ids, last_id + 1), strict=True)), "ids ascend from 1 to last_id"
    table = np.full(last_id + 1, 0 if foreign is None else _FOREIGN, np.uint8)
    table[0] = 0
    table[list(ids)] = np.arange(1, len(ids) + 1)
    return IdMap(table, foreign or {}, remedy)
