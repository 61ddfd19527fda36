from __future__ import annotations

import pytest

from dit_bench.recipes.counting_size import counting_size
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import resolve


@pytest.mark.parametrize(
    ("recipe", "row", "profile", "size"),
    [
        ("dit/table1", "pvt-v2-b2", "paper", (224, 224)),
        ("dit/table1", "pvt-v2-b2", "mini", (64, 64)),
        ("dit/table3", "retinanet-pvt-v2-b2", "paper", (800, 1280)),
        ("dit/table3", "retinanet-pvt-v2-b2", "mini", (128, 128)),
        ("pvt/table10", "pvt-small-800", "paper", (800, 1280)),
        ("pvt/table10", "pvt-small-640", "paper", (640, 960)),
    ],
)
def test_rows_are_counted_where_the_paper_counted_them(
    recipe: str, row: str, profile: str, size: tuple[int, int]
) -> None:
    assert counting_size(resolve(load_recipe(recipe), row, profile)) == size


def test_detectors_are_counted_at_the_size_of_the_test() -> None:
    overrides = ["detection.test_short_side_px=64", "detection.short_sides_px=[64]"]
    row = resolve(load_recipe("dit/table3"), "retinanet-pvt-v2-b2", "mini", overrides)
    assert counting_size(row) == (64, 64)
