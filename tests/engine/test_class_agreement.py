"""Splits whose labels mean different things are refused before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dit_bench.engine.class_agreement import check_same_classes
from dit_bench.errors import DataError
from dit_bench.recipes.settings import DataSettings, RunSettings

SETTINGS = RunSettings(data=DataSettings(root="photos"))


@dataclass
class Named:
    class_names: tuple[str, ...]


@dataclass
class Numbered(Named):
    category_ids: tuple[int, ...]


def test_equal_classes_pass() -> None:
    check_same_classes(Named(("a", "b")), Named(("a", "b")), SETTINGS)
    check_same_classes(Numbered(("a", "b"), (1, 3)), Numbered(("a", "b"), (1, 3)), SETTINGS)


@pytest.mark.parametrize(
    ("train", "held_out", "said"),
    [
        (Named(("a", "b")), Named(("a", "c")), "photos: class 1 is 'b' in the training split but 'c' in val"),
        (Named(("a", "b")), Named(("a",)), "class 1 is 'b' in the training split but missing in val"),
        (Numbered(("a",), (1,)), Numbered(("a",), (2,)), r"'a' \(category id 1\) .* 'a' \(category id 2\)"),
    ],
)
def test_the_first_difference_is_named(train: Named, held_out: Named, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_same_classes(train, held_out, SETTINGS)
