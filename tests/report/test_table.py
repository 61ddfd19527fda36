"""The table: what is judged in which profile, hand-worked cells, missing runs, claims, rho."""

import dataclasses
from collections.abc import Callable

import pytest

from dit_bench.report.cells import Table
from dit_bench.report.costs import rho
from dit_bench.report.inputs import ClaimSpec, RowSpec, RunSummary, TableSpec
from dit_bench.report.table import build_table

MakeRun = Callable[..., RunSummary]


def cell(table: Table, row: str, key: str):
    return next(entry.cells[key] for entry in table.rows if entry.id == row)


def test_cells_by_hand(spec: TableSpec, runs: list[RunSummary]) -> None:
    table = build_table(spec, runs)
    assert cell(table, "static", "quality").text == "83.00 ± 1.00 (3)"
    # Differences -3, -2.5, -3: mean -2.8333, SD 0.2887, t(0.975, 2) = 4.3027, half width 0.7171.
    difference = cell(table, "static", "difference")
    assert difference.text == "−2.83 ± 0.29"
    assert difference.interval is not None
    assert (difference.interval.low, difference.interval.high) == pytest.approx((-3.5504, -2.1162), abs=1e-4)
    assert cell(table, "static", "printed_difference").text == "−2.4"
    assert cell(table, "static", "verdict").text == "within noise"
    assert cell(table, "static", "verdict").detail == "[−3.55, −2.12]"
    assert cell(table, "static", "printed_ratio").text == "0.95"
    assert cell(table, "static", "ratio").value == pytest.approx(0.95)
    assert cell(table, "static", "macs_verdict").text == "match"
    assert cell(table, "static", "gmacs_sd_images").value == pytest.approx(0.0004)
    assert cell(table, "static", "runs").value == tuple(f"dit_mini-static-ab12cd34ef-seed{k}" for k in range(3))


def test_other_data_gets_no_absolute_verdict(spec: TableSpec, runs: list[RunSummary]) -> None:
    table = build_table(spec, runs)
    judged = {column.key: column.group for column in table.columns if column.name == "verdict"}
    assert judged == {"macs_verdict": "× PVTv2-B2", "verdict": "Δ"}
    assert cell(table, "dynamic", "verdict").text == "reference"
    assert "other data than the paper" in table.caption
    assert cell(table, "static", "printed_quality").value == 80.7


def test_same_data_is_judged_absolutely(comparable_spec: TableSpec, make_run: MakeRun) -> None:
    runs = [make_run("dynamic", seed, top1, 3.8, base_gmacs=4.03) for seed, top1 in enumerate((83.08, 83.12))]
    runs += [make_run("static", 0, 79.0, 3.9, base_gmacs=4.03)]
    table = build_table(comparable_spec, runs)
    assert {column.group for column in table.columns if column.name == "verdict"} == {"GMACs", "Acc.(%)"}
    assert [cell(table, "dynamic", key).text for key in ("macs_verdict", "verdict")] == ["match", "match"]
    assert [cell(table, "static", key).text for key in ("macs_verdict", "verdict")] == ["differs", "differs"]
    assert cell(table, "static", "verdict").detail == "n = 1"
    assert "other data" not in table.caption


def test_verdict_uses_full_precision(comparable_spec: TableSpec, make_run: MakeRun) -> None:
    """83.1504 shows as 83.15, which would match 83.1; the mean itself does not."""
    table = build_table(comparable_spec, [make_run("dynamic", 0, 83.1504)])
    assert cell(table, "dynamic", "quality").text == "83.15 (1)"
    assert cell(table, "dynamic", "verdict").text == "differs"


def test_rows_without_runs_keep_their_line(spec: TableSpec, runs: list[RunSummary]) -> None:
    table = build_table(spec, runs)
    assert [row.id for row in table.rows] == ["static", "dynamic", "fully"]
    assert [cell(table, "fully", key).text for key in ("verdict", "macs_verdict", "runs")] == ["no data"] * 3
    assert cell(table, "fully", "printed_quality").text == "83.5"
    # Not printed: 83.5 - 83.1 from the printed figures.
    assert (cell(table, "fully", "printed_difference").text, cell(table, "fully", "printed_difference").kind) == (
        "+0.4",
        "derived",
    )
    empty = build_table(spec, [])
    assert {cell(empty, row.id, "verdict").text for row in spec.rows} == {"no data"}
    assert {claim.verdict for claim in empty.claims} == {"no data"}
    assert "no runs yet" in empty.caption


def test_reference_without_runs_leaves_no_verdict(spec: TableSpec, runs: list[RunSummary]) -> None:
    table = build_table(spec, [run for run in runs if run.row_id == "static"])
    assert cell(table, "static", "verdict").text == "no data"
    assert cell(table, "static", "difference").text == "—"
    assert cell(table, "static", "macs_verdict").text == "match"


def test_row_that_the_paper_does_not_print(spec: TableSpec, runs: list[RunSummary], make_run: MakeRun) -> None:
    wider = dataclasses.replace(spec, rows=[*spec.rows, RowSpec("cheapest", "Cheapest")])
    table = build_table(wider, [*runs, make_run("cheapest", 0, 70.0, 0.002)])
    assert cell(table, "cheapest", "verdict").text == "—"
    # One seed against three: the means over all seeds, without an interval.
    assert cell(table, "cheapest", "difference").value == pytest.approx(70 - 257.5 / 3)
    assert cell(table, "cheapest", "difference").interval is None


def test_columns_share_decimals(spec: TableSpec, runs: list[RunSummary], make_run: MakeRun) -> None:
    table = build_table(spec, [*runs, make_run("fully", 0, 86.0, 0.04123456)])
    assert [cell(table, row, "gmacs").text for row in ("static", "fully")] == ["0.00950 ± 0.00000", "0.04123"]


def test_claims(spec: TableSpec, runs: list[RunSummary], make_run: MakeRun) -> None:
    table = build_table(spec, [*runs, make_run("fully", 0, 86.0, 0.04)])
    accuracy, cost = table.claims
    assert accuracy.verdict == "reproduced"
    # t = 2.8333 / (0.2887 / sqrt(3)) = 17; p with 2 degrees of freedom = 1 - 17 / sqrt(17² + 2).
    assert accuracy.comparison is not None
    assert accuracy.comparison.p == pytest.approx(1 - 17 / 291**0.5)
    assert accuracy.statement == ("difference +2.83, 95 % interval [+2.12, +3.55], paired t, n = 3, p = 0.003")
    assert (cost.verdict, cost.comparison is None) == ("undecided", False)
    assert "n = 1 and 3: too few seeds" in cost.statement


def test_a_deterministic_claim_needs_one_run(spec: TableSpec, make_run: MakeRun) -> None:
    runs = [make_run("dynamic", 0, 85.0), make_run("fully", 0, 86.0, 0.04)]
    claim = spec.claims[1]
    assert build_table(dataclasses.replace(spec, claims=[claim]), runs).claims[0].verdict == "undecided"
    fixed = dataclasses.replace(claim, deterministic=True)
    assert build_table(dataclasses.replace(spec, claims=[fixed]), runs).claims[0].verdict == "reproduced"
    by_metric = ClaimSpec("p", "fully", "dynamic", "params_total_m", "More parameters.", "Table 6")
    with_params = [dataclasses.replace(r, metrics={"params_total_m": m}) for r, m in zip(runs, (2.0, 1.0), strict=True)]
    judged = build_table(dataclasses.replace(spec, claims=[by_metric]), with_params).claims[0]
    assert judged.verdict == "contradicted"


def test_constant_macs_decide_but_constant_accuracy_does_not(spec: TableSpec, make_run: MakeRun) -> None:
    runs = [make_run("dynamic", seed, 85.0, 0.0095) for seed in (0, 1)]
    runs += [make_run("fully", seed, 86.0, 0.04) for seed in (0, 1)]
    accuracy = dataclasses.replace(spec.claims[1], metric="top1_percent")
    table = build_table(dataclasses.replace(spec, claims=[spec.claims[1], accuracy]), runs)
    assert [claim.verdict for claim in table.claims] == ["reproduced", "undecided"]
    assert "spread is unknown" in table.claims[1].statement


def test_rho_by_hand() -> None:
    """Half the MACs promise 2x; 1.5x real is half of the gain. No saving, no rho."""
    assert rho(latency=2.0, base_latency=3.0, gmacs=2.0, base_gmacs=4.0) == pytest.approx(0.5)
    assert rho(latency=4.0, base_latency=3.0, gmacs=2.0, base_gmacs=4.0) == pytest.approx(-0.25)
    assert rho(latency=2.0, base_latency=3.0, gmacs=3.99, base_gmacs=4.0) is None
    assert rho(latency=9.0, base_latency=3.0, gmacs=15.6, base_gmacs=4.0) is None


def test_rho_takes_the_base_timed_beside_the_run(spec: TableSpec, make_run: MakeRun) -> None:
    timed = {"latency_ms_per_image": 2.0, "base_latency_ms_per_image": 3.0}
    table = build_table(spec, [make_run("dynamic", 0, 85.0, 0.005, **timed)])
    assert cell(table, "dynamic", "rho").value == pytest.approx(0.5)
    untimed = make_run("dynamic", 0, 85.0, 0.005, latency_ms_per_image=2.0)
    base = [make_run("pvt", seed, 84.0, latency_ms_per_image=latency) for seed, latency in enumerate((2.0, 4.0))]
    assert cell(build_table(spec, [untimed], base), "dynamic", "rho").value == pytest.approx(0.5)
    assert cell(build_table(spec, [untimed]), "dynamic", "rho").text == "—"
    own_row = build_table(
        dataclasses.replace(spec, base_row="static"), [untimed, dataclasses.replace(base[1], row_id="static")]
    )
    assert cell(own_row, "dynamic", "rho").value == pytest.approx(1.0)


def test_two_runs_of_one_seed_are_refused(spec: TableSpec, make_run: MakeRun) -> None:
    with pytest.raises(AssertionError, match="several runs of one seed"):
        build_table(spec, [make_run("dynamic", 0, 85.0), make_run("dynamic", 0, 86.0)])


def test_unknown_rows_in_a_spec_are_refused(spec: TableSpec) -> None:
    with pytest.raises(AssertionError, match="nowhere"):
        dataclasses.replace(spec, reference_row="nowhere")


def test_without_a_base_or_printed_macs_there_are_no_columns_for_them(spec: TableSpec, make_run: MakeRun) -> None:
    """As in PVT's tables of detection, which print no MACs and whose rows save none."""
    rows = [dataclasses.replace(row, printed={"top1_percent": 80.0}) for row in spec.rows]
    bare = dataclasses.replace(spec, rows=rows, base_printed_gmacs=None, paper_headings={"top1_percent": "AP"})
    run = make_run("dynamic", 0, 85.0)
    figures = {key: value for key, value in run.metrics.items() if key != "base_gmacs"}
    for profile, comparable in (("mini", False), ("paper", True)):
        table = build_table(
            dataclasses.replace(bare, profile=profile, comparable=comparable),
            [dataclasses.replace(run, metrics=figures)],
        )
        keys = {column.key for column in table.columns}
        assert not keys & {"printed_gmacs", "printed_ratio", "ratio", "rho", "macs_verdict"}
        assert {"gmacs", "quality", "verdict", "latency_ms_per_image"} <= keys
        assert not [note for note in table.notes if "×" in note or "rho" in note or "printed column" in note]
        assert "PVTv2" not in table.caption
        assert {"difference", "printed_difference"} <= keys
        alone = build_table(dataclasses.replace(bare, reference_row=None, comparable=comparable), [run])
        shown = {column.key for column in alone.columns}
        assert not shown & {"difference", "printed_difference"}
        assert ("verdict" in shown) == comparable
    printed = build_table(dataclasses.replace(spec, base_printed_gmacs=None, comparable=True), [run])
    assert {"printed_gmacs", "macs_verdict"} <= {column.key for column in printed.columns}
