from __future__ import annotations

from collections.abc import Callable

import pytest

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.problems import RecipeError, leaves
from dit_bench.recipes.resolve import planned_runs, profiles_of, resolve, resolve_rows
from dit_bench.recipes.settings import RoutingSettings, RunSettings

LAYERED = """\
schema_version: 1
title: "A table"
kind: table
paper: {key: dit, table: "6", section: "4.4"}
include: outer.yaml
common: {optimiser: {epochs: 13}, model: {drop_rate: 0.13}, data: {clutter: 3, val_images: 3}}
profiles:
  mini: {settings: {optimiser: {epochs: 14}, model: {drop_rate: 0.14}, data: {clutter: 4}}}
rows:
  - id: dynamic
    label: "Dynamic"
    settings: {optimiser: {epochs: 15}, model: {drop_rate: 0.15}}
    profiles:
      mini: {optimiser: {epochs: 16}}
      paper: {optimiser: {epochs: 99}}
  - {id: plain, label: "Plain"}
"""
OUTER = """\
schema_version: 1
common: {optimiser: {epochs: 11}, data: {clutter: 1, val_images: 1, tune_images: 1, train_images: 1}}
profiles:
  mini: {seeds: [4, 5], settings: {optimiser: {epochs: 12}, data: {clutter: 2, val_images: 2, tune_images: 2}}}
  paper: {}
"""


@pytest.fixture
def layered(write: Callable[..., str]) -> str:
    write(text=OUTER, name="outer.yaml")
    return write(text=LAYERED)


def test_later_layers_win_and_every_value_knows_its_origin(layered: str) -> None:
    row = resolve(load_recipe(layered), "dynamic", "mini", ["optimiser.lr=0.5"])
    folder = layered.removesuffix("own.yaml")
    expected = {
        "optimiser.lr": (0.5, "command line"),
        "optimiser.epochs": (16, f"{layered}:14"),
        "model.drop_rate": (0.15, f"{layered}:12"),
        "data.clutter": (4, f"{layered}:8"),
        "data.val_images": (3, f"{layered}:6"),
        "data.tune_images": (2, f"{folder}outer.yaml:4"),
        "data.train_images": (1, f"{folder}outer.yaml:2"),
        "data.max_scale": (0.9, "default"),
    }
    for key, (value, origin) in expected.items():
        group, name = key.split(".")
        assert getattr(getattr(row.settings, group), name) == value, key
        assert row.origins[key] == origin, key
    assert set(row.origins) == set(leaves(RunSettings))
    assert (row.seeds, row.seeds_origin) == ((4, 5), f"{folder}outer.yaml:4")


def test_override_wins_over_everything(layered: str) -> None:
    row = resolve(load_recipe(layered), "dynamic", "mini", ["optimiser.epochs=3"], seeds=[7, 7, 8])
    assert (row.settings.optimiser.epochs, row.origins["optimiser.epochs"]) == (3, "command line")
    assert (row.seeds, row.seeds_origin) == ((7, 8), "command line")


def test_another_profile_takes_nothing_from_mini(layered: str) -> None:
    row = resolve(load_recipe(layered), "plain", "paper")
    assert (row.settings.optimiser.epochs, row.settings.data.clutter, row.seeds) == (13, 3, (0,))


def test_unknown_row_and_profile(layered: str) -> None:
    loaded = load_recipe(layered)
    with pytest.raises(RecipeError, match="unknown row 'dynamc' — did you mean 'dynamic'"):
        resolve_rows(loaded, ["dynamc"], "mini")
    with pytest.raises(RecipeError, match="unknown profile 'mimi' — did you mean 'mini'"):
        resolve(loaded, "dynamic", "mimi")
    with pytest.raises(RecipeError, match="unknown profile 'smoke' — known: mini, paper"):
        resolve(loaded, "dynamic", "smoke")


def test_a_profile_without_rows_is_none(write: Callable[..., str]) -> None:
    """As where an included file has a small profile, but no row of the table can be had in small."""
    only_paper = LAYERED.replace('    label: "Dynamic"', '    label: "Dynamic"\n    only_in: [paper]').replace(
        '{id: plain, label: "Plain"}', '{id: plain, label: "Plain", only_in: [paper]}'
    )
    write(text=OUTER, name="outer.yaml")
    loaded = load_recipe(write(text=only_paper))
    assert profiles_of(loaded) == ["paper"]
    with pytest.raises(RecipeError, match="unknown profile 'mini' — known: paper"):
        resolve_rows(loaded, [], "mini")


def test_contradicting_values_name_both_origins(layered: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve(load_recipe(layered), "plain", "mini", ["optimiser.warmup_epochs=20"])
    message = str(caught.value)
    assert "row plain, profile mini: optimiser: warmup_epochs must be smaller than epochs" in message
    assert f"optimiser.epochs = 14 ({layered}:8)" in message
    assert "optimiser.warmup_epochs = 20.0 (command line)" in message


def test_partial_layers_may_contradict_defaults(write: Callable[..., str]) -> None:
    """A layer alone (warm-up of 20 epochs, default 12 epochs) is no error when the whole fits."""
    path = write(("{epochs: 4}", "{warmup_epochs: 20}"), ("smoke: {}", "smoke: {settings: {optimiser: {epochs: 40}}}"))
    assert resolve(load_recipe(path), "dynamic", "smoke").settings.optimiser.warmup_epochs == 20.0


def test_refusal_of_a_resolved_value_says_where_it_stands(layered: str) -> None:
    row = resolve(load_recipe(layered), "dynamic", "mini", ["model.name=dit_b9"])
    error = row.refusal("model.name", "no such model", "did you mean 'dit_b2'?")
    assert str(error) == "command line: model.name = 'dit_b9': no such model — did you mean 'dit_b2'?"


def test_resolve_rows_gives_all_rows_or_the_named_ones_once(layered: str) -> None:
    loaded = load_recipe(layered)
    assert [row.row.id for row in resolve_rows(loaded, [], "mini")] == ["dynamic", "plain"]
    assert [row.row.id for row in resolve_rows(loaded, ["plain", "plain"], "mini")] == ["plain"]


def test_routing_settings_have_no_effect_on_pvt() -> None:
    loaded = load_recipe("dit/table8")
    plain = resolve(loaded, "neither", "mini")
    assert plain.settings.routing == RoutingSettings(variant="diagonal")
    other = resolve(loaded, "neither", "mini", ["routing.budget_ratio=0.5", "routing.gate.temperature=3"])
    assert other.settings == plain.settings
    assert other.origins["routing.budget_ratio"] == "default (no effect with variant diagonal)"
    assert resolve(loaded, "both", "mini", ["routing.budget_ratio=0.5"]).settings.routing.budget_ratio == 0.5


def test_planned_runs_come_once_and_seed_by_seed(layered: str) -> None:
    loaded = load_recipe(layered)
    same = resolve(loaded, "plain", "mini", ["optimiser.epochs=16", "model.drop_rate=0.15"])
    plan = planned_runs([resolve(loaded, "dynamic", "mini"), resolve(loaded, "plain", "mini"), same])
    assert [(run.seed, run.row_ids) for run in plan] == [
        (4, ("dynamic", "plain")),
        (4, ("plain",)),
        (5, ("dynamic", "plain")),
        (5, ("plain",)),
    ]
    assert planned_runs([]) == []


def test_rows_that_are_never_run_plan_nothing() -> None:
    loaded = load_recipe("pvt/table2")
    both = resolve_rows(loaded, ["r18-original", "r18"], "paper")
    assert [plan.row_ids for plan in planned_runs(both)] == [("r18",)]
    with pytest.raises(RecipeError, match="row 'r18-original' is never run: trained with the strategy of its original"):
        planned_runs(both[:1])


def test_a_row_belongs_to_the_profiles_that_it_names() -> None:
    loaded = load_recipe("dit/table1")
    assert len(resolve_rows(loaded, [], "paper")) == 24
    assert [row.row.id for row in resolve_rows(loaded, [], "mini")][:2] == ["pvt-v2-b1", "dit-b1"]
    with pytest.raises(RecipeError, match="row 'swin-b' has no profile 'mini'"):
        resolve(loaded, "swin-b", "mini")
