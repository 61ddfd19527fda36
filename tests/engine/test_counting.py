"""Every row of the classification tables, counted: the print is met or a note says why not; formulas equal dispatch."""

from __future__ import annotations

from functools import cache
from typing import get_args

import pytest

from dit_bench.cost.conventions import CONVENTIONS
from dit_bench.engine.counting import StaticCosts, counted_model, row_costs, static_costs
from dit_bench.engine.model_counts import audit_routed, check_model_or_recipe, count_model
from dit_bench.errors import UsageError
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import ResolvedRow, resolve, resolve_rows
from dit_bench.recipes.schema import ConventionName
from dit_bench.recipes.settings import ModelSettings, RoutingSettings, RunSettings, Variant
from dit_bench.report.from_runs import counted_table
from dit_bench.report.numbers import MISSING

TABLES = ("dit/table1", "pvt/table1", "pvt/table2", "pvt/table9")
LIBRARY_OF_CVT = "transformers"


@cache
def _counted(name: str) -> tuple[tuple[ResolvedRow, StaticCosts], ...]:
    return tuple((row, row_costs(row)) for row in resolve_rows(load_recipe(name), [], "paper"))


@pytest.mark.parametrize("name", TABLES)
def test_every_print_is_met_or_a_note_says_why_not(name: str) -> None:
    pytest.importorskip(LIBRARY_OF_CVT)
    table = counted_table(_counted(name))
    notes = {row.row.id: row.row.note or "" for row, _ in _counted(name)}
    for row in table.rows:
        for column in ("static_params_verdict", "static_gmacs_verdict"):
            verdict = row.cells[column].text
            if row.id.startswith("dit-b"):
                assert verdict == "no data"
            elif verdict not in ("match", MISSING):
                assert notes[row.id], f"{row.id}: {column} is {verdict}"
        if row.cells["static_gmacs_verdict"].text != "match" and not row.id.startswith("dit-b"):
            assert row.id in ("cvt-13", "cvt-21") or row.cells["static_printed_gmacs"].text == MISSING


def test_which_parameters_differ_from_the_print() -> None:
    pytest.importorskip(LIBRARY_OF_CVT)
    differing = {
        row.id
        for name in ("dit/table1", "pvt/table2")
        for row in counted_table(_counted(name)).rows
        if row.cells["static_params_verdict"].text == "differs"
    }
    integers = {"swin-t", "swin-s", "swin-b", "cvt-21", "tnt-b"}
    assert differing == {"pvt-v2-b1", "resnet101", "r101", "r101-original", *integers}


def test_printed_stages_of_pvt_against_the_built_ones() -> None:
    rows = counted_table(_counted("pvt/table1")).rows
    assert {row.id: row.cells["stages_verdict"].text for row in rows} == {
        "pvt-tiny": "match",
        "pvt-small": "differs",
        "pvt-medium": "differs",
        "pvt-large": "match",
    }
    small = rows[1].cells
    assert [small[f"stage_{number}"].detail for number in (1, 3, 4)] == ["", "", ""]
    assert small["stage_2"].detail == "printed P2 C128 R4 N2 E8 × 3"


def _models() -> list[str]:
    rows = [row for name in TABLES for row in resolve_rows(load_recipe(name), [], "paper")]
    return sorted({row.settings.model.name for row in rows} | {"pvt_v2_b0", "pvt_v2_b2_li"})


@pytest.mark.parametrize("name", [name for name in _models() if not name.startswith("dit_")])
def test_the_closed_form_is_what_torch_dispatched(name: str) -> None:
    if name.startswith("cvt_"):
        pytest.importorskip(LIBRARY_OF_CVT)
    census, _ = counted_model(name, 1000, (224, 224))
    assert census.unexplained == []
    assert census.without_formula == 0
    assert census.closed_form_macs == census.dispatched_macs > 10**9 / 2


@pytest.mark.parametrize(
    ("size", "known"),
    [
        ("b1", (2.11, 8.55, 8.14)),
        ("b2", (4.03, 16.05, 15.64)),
        ("b3", (6.90, 27.31, 26.90)),
        ("b4", (10.10, 39.50, 39.10)),
        ("b5", (11.72, 38.57, 38.16)),
    ],
)
def test_fixed_paths_of_dit(size: str, known: tuple[float, float, float]) -> None:
    """Known values of the routing space, which leave the classifier out; here it is added."""
    row = resolve(load_recipe("dit/table1"), f"dit-{size}", "paper")
    costs = row_costs(row)
    classifier = 512 * 1000
    paths = list(costs.paths.values())[:3]
    assert tuple(round((macs - classifier) / 1e9, 2) for macs in paths) == known
    assert costs.target_macs == round(row.settings.routing.budget_ratio * paths[0])
    assert costs.macs == {}


def test_a_routed_model_is_counted_with_every_gate_open() -> None:
    count = count_model("dit_nano")
    fully = next(macs for path, macs in count.paths.items() if path.startswith("fully, patch embeddings in columns"))
    assert count.image_size == (64, 64)
    assert count.census.macs == count.dispatched_macs == count.closed_form_macs == fully
    assert count.by_kind["attention"] > 0


@pytest.mark.parametrize("variant", ["dynamic", "static", "random", "attention", "fully", "cheapest"])
def test_the_audit_of_a_routed_model_agrees_to_the_integer(variant: Variant) -> None:
    settings = RunSettings(model=ModelSettings(name="dit_nano"), routing=RoutingSettings(variant=variant))
    ledger, packed, *others = audit_routed(settings, (64, 64), 10)
    assert ledger.macs == packed.macs
    assert packed.difference == 0
    assert all(line.macs is None and "data-dependent" in line.explanation for line in others)


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("resnet18", (1, 1), None),
        ("pvt_small", (24, 24), "24x24"),
        ("pvt_v2_b0", (16, 16), "greater than actual input size"),
        ("vit_base_patch16_224", (225, 225), "multiples of the patch"),
        ("dit_b2", (31, 64), "32"),
    ],
)
def test_an_input_that_a_model_cannot_take_is_refused(name: str, size: tuple[int, int], said: str | None) -> None:
    settings = RunSettings(model=ModelSettings(name=name), routing=RoutingSettings(variant="diagonal"))
    if said is None:
        assert static_costs(settings, size).macs["matmul"] > 0
        return
    with pytest.raises(UsageError, match=f"{name} cannot take an input of {size[0]}x{size[1]} pixels: .*{said}"):
        static_costs(settings, size)


def test_other_sizes_are_counted_for_their_own_grid() -> None:
    settings = RunSettings(
        model=ModelSettings(name="deit_tiny_patch16_224"), routing=RoutingSettings(variant="diagonal")
    )
    tokens = {size: size[0] * size[1] // 256 + 1 for size in ((224, 224), (384, 384), (224, 448))}
    width, blocks = 192, 12
    for size, count in tokens.items():
        per_block = 12 * width**2 * count + 2 * count**2 * width
        expected = blocks * per_block + (count - 1) * 3 * 256 * width + width * 10
        assert static_costs(settings, size).macs["matmul"] == expected


def test_recipes_name_the_conventions_that_exist() -> None:
    assert get_args(ConventionName) == tuple(CONVENTIONS)


def test_names_that_are_neither_recipe_nor_model() -> None:
    check_model_or_recipe("pvt_small_wide")
    check_model_or_recipe("dit/table1")
    with pytest.raises(UsageError, match="'resnet5O' is neither a recipe nor a model — did you mean 'resnet50'"):
        check_model_or_recipe("resnet5O")
