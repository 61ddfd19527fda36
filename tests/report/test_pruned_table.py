"""Tables of networks that prune tokens: the print is fvcore's count, so ours is compared by that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dit_bench.report.cells import Column, Table
from dit_bench.report.inputs import PRUNED_COSTS, RowSpec, RunSummary, TableSpec
from dit_bench.report.render_latex import render_latex
from dit_bench.report.render_markdown import render_markdown
from dit_bench.report.static_table import with_static
from dit_bench.report.table import build_table
from tests.report.test_static_table import Count

BASE = {"base_gmacs": 100.0, "base_fvcore_gmacs": 110.0}
RUNS = [
    RunSummary(
        "plain",
        0,
        "a",
        {"gmacs_mean": 100.0, "fvcore_gmacs_mean": 110.0, "fvcore_gmacs_without_aux_mean": 110.0, **BASE},
    ),
    RunSummary(
        "pruned",
        0,
        "b",
        {"gmacs_mean": 75.0, "fvcore_gmacs_mean": 88.04, "fvcore_gmacs_without_aux_mean": 82.0, **BASE},
    ),
]
SPEC = TableSpec(
    title="A table",
    paper_headings={"gmacs": "GFLOPs"},
    rows=[
        RowSpec("plain", "Plain", {"gmacs": 110.0}, convention="fvcore"),
        RowSpec("pruned", "Pruned", {"gmacs": 88.0}),
    ],
    reference_row=None,
    base_label="Plain",
    base_printed_gmacs=110.0,
    claims=[],
    profile="paper",
    comparable=True,
    command="dit-bench ablate x",
    base_row="plain",
    costs=PRUNED_COSTS,
)


def column(table: Table, key: str) -> Column:
    return next(column for column in table.columns if column.key == key)


def test_the_print_is_compared_with_what_is_counted_in_its_way() -> None:
    table = build_table(SPEC, RUNS)
    cells = table.rows[1].cells
    assert (column(table, "fvcore_gmacs_mean").name, column(table, "gmacs").name) == (
        "ours, as printed",
        "ours, matmul",
    )
    assert cells["fvcore_gmacs_mean"].value == 88.04
    assert cells["fvcore_gmacs_without_aux_mean"].value == 82.0
    assert cells["gmacs"].value == 75.0
    assert cells["macs_verdict"].text == "match", "88.04 rounds to 88.0, 75 and 82 do not"
    assert cells["ratio"].value == pytest.approx(88.04 / 110.0), "like by like"
    group = [column.key for column in table.columns if column.group == "GMACs" and column.section == "result"]
    costs = ["fvcore_gmacs_mean", "fvcore_gmacs_without_aux_mean", "gmacs"]
    assert group == ["printed_gmacs", *costs, "macs_verdict"]


def test_relative_costs_are_judged_on_other_data() -> None:
    table = build_table(replace(SPEC, comparable=False), RUNS)
    assert table.rows[0].cells["macs_verdict"].text == "match"
    assert table.rows[1].cells["macs_verdict"].text == "match", "0.800 of the base, printed and ours"


def test_what_is_counted_without_images_stands_apart() -> None:
    counts = {
        "plain": Count(macs={"matmul": 100_000_000_000, "fvcore": 110_040_000_000}, params_total=9_000_000),
        "pruned": Count(paths={"no token leaves": 100_000_000_000}, params_total=9_000_000),
    }
    table = with_static(build_table(SPEC, RUNS), SPEC, {}, counts)
    plain, pruned = (row.cells for row in table.rows)
    assert plain["static_gmacs_verdict"].text == "match"
    assert pruned["static_gmacs_verdict"].text == "no data"
    assert pruned["static_params_m"].text == "9.000", "nothing of the network is ever left out"
    assert [column.key for column in table.section("paths")] == ["label", "path_no token leaves"]
    for text in (render_markdown(table), render_latex(table)):
        assert "Pruned rows, GMACs (matrix products) as long as no token leaves:" in text
        assert "budget" not in text
        assert "outed rows" not in text
