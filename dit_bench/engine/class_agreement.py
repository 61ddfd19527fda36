"""Whether two splits of a data set mean the same by a label."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from dit_bench.errors import DataError
from dit_bench.recipes.settings import RunSettings


def check_same_classes(train: Any, held_out: Any, settings: RunSettings) -> None:
    """Refuse splits whose classes differ in number, name or category id: a network would be judged by other labels.

    Raises DataError, which names the first class that differs.
    """
    for label, (ours, theirs) in enumerate(zip_longest(_classes(train), _classes(held_out))):
        if ours != theirs:
            place = settings.data.root or settings.data.dataset
            raise DataError(
                f"{place}: class {label} is {_text(ours)} in the training split but {_text(theirs)} in"
                f" {settings.data.eval_split}",
                remedy="restore the data set: both splits need the same classes",
            )


def _classes(dataset: Any) -> list[tuple[int | None, str]]:
    """Category id, in data sets that have them, and name of each class."""
    names = dataset.class_names
    return list(zip(getattr(dataset, "category_ids", [None] * len(names)), names, strict=True))


def _text(named: tuple[int | None, str] | None) -> str:
    if named is None:
        return "missing"
    category, name = named
    return f"'{name}'" if category is None else f"'{name}' (category id {category})"
