"""The small profiles of PVT's detection tables: the published rows in small, starting where those start."""

from __future__ import annotations

import pytest

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import profiles_of, resolve, resolve_rows
from tests.recipes.test_shipped_detection import same_runs

SMALL_MODELS = {
    "resnet18": "resnet_nano",
    "pvt_tiny": "pvt_nano",
    "resnet50": "resnet_mini",
    "pvt_small": "pvt_mini",
    "vit_small_patch32_pvt": "vit_mini_patch16",
}
SMALL_ROWS = {
    "pvt/table3": 8,
    "pvt/table4": 4,
    "pvt/table6": 0,
    "pvt/table8": 2,
    "pvt/table10": 3,
    "pvt/fig2": 5,
    "pvt/fig5": 6,
}


@pytest.mark.parametrize("name", SMALL_ROWS)
def test_small_rows_of_pvt_are_the_published_ones_in_small(name: str) -> None:
    loaded = load_recipe(name)
    assert len(loaded.recipe.rows_of("mini")) == SMALL_ROWS[name]
    for profile in set(profiles_of(loaded)) - {"paper"}:
        for row in resolve_rows(loaded, [], profile):
            settings, paper = row.settings, resolve(loaded, row.row.id, "paper").settings
            assert settings.model.name == SMALL_MODELS[paper.model.name]
            assert settings.detection.frozen_stages == paper.detection.frozen_stages
            assert settings.detection.detector == paper.detection.detector
            assert settings.augment.hflip_prob == 0
            # What starts from ImageNet in the paper starts from a classifier of digits here.
            assert (settings.pretraining.epochs > 0) == (paper.model.init_weights is not None), row.row.id
            assert settings.model.init_weights is None


def test_small_runs_of_pvt_are_shared_as_the_published_ones_are() -> None:
    for profile in ("smoke", "mini"):
        same_runs(("pvt/table3", "pvt-tiny-1x"), ("pvt/fig2", "pvt-tiny"), profile=profile)
        same_runs(("pvt/table3", "resnet18-1x"), ("pvt/fig2", "resnet18"), profile=profile)
        resnets = [("pvt/table10", "resnet50-800"), ("pvt/fig2", "resnet50"), ("pvt/fig5", "resnet50-1x")]
        same_runs(("pvt/table3", "resnet50-1x"), *resnets, profile=profile)
        single = [("pvt/table8", "pvt-small"), ("pvt/table10", "pvt-small-800"), ("pvt/fig2", "pvt-small")]
        same_runs(("pvt/table3", "pvt-small-1x"), ("pvt/fig5", "pvt-small-1x"), *single, profile=profile)
        same_runs(("pvt/table8", "vit-small-32"), ("pvt/fig2", "vit-small-32"), profile=profile)
    for row in ("pvt-small-3x", "resnet50-3x"):
        same_runs(("pvt/table3", row), ("pvt/fig5", row), profile="mini")


def test_the_small_input_of_table_10_is_smaller_by_about_as_much() -> None:
    rows = {row.row.id: row.settings.detection for row in resolve_rows(load_recipe("pvt/table10"), [], "mini")}
    small, large = rows["pvt-small-640"], rows["pvt-small-800"]
    sides = (small.test_short_side_px, large.test_short_side_px)
    assert sides == (96, 128)
    assert sides[0] / sides[1] == pytest.approx(640 / 800, abs=0.051)
    assert small.short_sides_px == [sides[0]]
