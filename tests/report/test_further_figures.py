"""Figures that a paper prints beside the one that rows are compared by: columns from the printed keys alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.metrics import METRIC_NAMES
from dit_bench.recipes.resolve import resolve_rows
from dit_bench.recipes.schema import Printed
from dit_bench.report.cells import Cell, Table
from dit_bench.report.from_runs import table_spec
from dit_bench.report.inputs import RowSpec, RunSummary, TableSpec
from dit_bench.report.qualities import QUALITIES, further_qualities, main_quality
from dit_bench.report.render_csv import render_csv
from dit_bench.report.render_json import render_json
from dit_bench.report.render_latex import render_latex
from dit_bench.report.render_markdown import render_markdown
from dit_bench.report.render_rich import render_rich
from dit_bench.report.table import build_table

PVT = {"gmacs": 309, "box_ap_percent": 47.8, "box_ap50_percent": 69.6, "mask_ap_percent": 42.9}
DIT = {"gmacs": 290, "box_ap_percent": 48.9, "box_ap50_percent": 70.5, "mask_ap_percent": 43.7}
KEYS = {*PVT, "latency_ms_per_image"}
MAIN = main_quality(KEYS, "detection")
SPEC = TableSpec(
    title="Table 0: detection",
    paper_headings={"gmacs": "GFLOPs", "box_ap_percent": "AP^b", "mask_ap_percent": "AP^m"},
    rows=[
        RowSpec("pvt", "PVTv2-B2", PVT | {"latency_ms_per_image": 76.9}),
        RowSpec("dit", "DiT-B2", DIT, reference="pvt", base_printed_gmacs=309),
    ],
    reference_row=None,
    base_label="PVTv2",
    base_printed_gmacs=None,
    claims=[],
    profile="paper",
    comparable=True,
    command="dit-bench ablate table0",
    quality=MAIN,
    further=further_qualities(KEYS, MAIN),
    one_input_size=False,
)


def run(row: str, seed: int, box: float, mask: float, gmacs: float) -> RunSummary:
    metrics = {"box_ap_percent": box, "box_ap50_percent": 69.62, "mask_ap_percent": mask, "latency_ms_per_image": 51.5}
    metrics |= {"gmacs_mean": gmacs, "base_gmacs": 280.0}
    return RunSummary(row, seed, f"run-{row}-seed{seed}", metrics)


# Differences of masks 0.6 and 1.0: mean 0.8, as printed. MACs 0.9385 of the base; printed 290 / 309 = 0.9385.
RUNS = [
    run("pvt", 0, 47.8, 42.0, 280.0),
    run("pvt", 1, 47.9, 43.0, 280.0),
    run("dit", 0, 48.8, 42.6, 262.78),
    run("dit", 1, 49.0, 44.0, 262.78),
]


def cell(table: Table, row: str, key: str) -> Cell:
    return next(entry.cells[key] for entry in table.rows if entry.id == row)


def headings(table: Table) -> list[str]:
    return [column.heading for column in table.columns if column.section == "further"]


def test_columns_follow_from_the_printed_keys() -> None:
    assert MAIN.metric == "box_ap_percent"
    table = build_table(SPEC, RUNS)
    assert headings(table) == [
        *(f"Box AP50 (%), {name}" for name in ("paper", "ours", "verdict")),
        *(f"AP^m, {name}" for name in ("paper", "ours", "Δ paper", "Δ ours", "verdict")),
        *(f"Latency (ms/image), {name}" for name in ("paper", "ours")),
    ]
    assert [column.group for column in table.columns if column.key == "quality"] == ["AP^b"]
    plain = build_table(replace(SPEC, further=[]), RUNS)
    assert "further" not in plain.sections


def test_each_figure_is_compared_like_the_first() -> None:
    table = build_table(SPEC, RUNS)
    assert cell(table, "pvt", "box_ap50_percent_printed").text == "69.6"
    assert cell(table, "pvt", "box_ap50_percent_ours").text == "69.62 ± 0.00"
    assert cell(table, "pvt", "box_ap50_percent_verdict").text == "match"
    assert cell(table, "dit", "box_ap50_percent_verdict").text == "differs"
    assert cell(table, "dit", "mask_ap_percent_printed_difference").text == "+0.8"
    assert cell(table, "dit", "mask_ap_percent_difference").text == "+0.80 ± 0.28"
    assert cell(table, "dit", "mask_ap_percent_verdict").text == "within noise"
    assert cell(table, "pvt", "latency_ms_per_image_printed").text == "76.9"
    assert cell(table, "pvt", "latency_ms_per_image_ours").value == pytest.approx(51.5)
    assert any("get no verdict" in note for note in table.notes)


def test_differences_are_judged_on_other_data() -> None:
    table = build_table(replace(SPEC, comparable=False, profile="mini"), RUNS)
    assert "Box AP50 (%), verdict" not in headings(table)
    assert "AP^m, verdict" in headings(table)
    assert cell(table, "pvt", "mask_ap_percent_verdict").text == "reference"
    difference = cell(table, "dit", "mask_ap_percent_difference")
    assert (difference.text, difference.n) == ("+0.80 ± 0.28", 2)
    assert cell(table, "dit", "mask_ap_percent_verdict").text == "match"


def test_macs_over_images_of_many_sizes_are_judged_by_their_ratio() -> None:
    table = build_table(SPEC, RUNS)
    assert {c.key: c.group for c in table.columns if c.key == "macs_verdict"} == {"macs_verdict": "× PVTv2"}
    assert cell(table, "dit", "macs_verdict").text == "match"
    assert cell(table, "pvt", "macs_verdict").text == "—"
    single = build_table(replace(SPEC, one_input_size=True), RUNS)
    assert {c.key: c.group for c in single.columns if c.key == "macs_verdict"} == {"macs_verdict": "GMACs"}
    assert cell(single, "dit", "macs_verdict").text == "differs"


def test_integers_are_printed_without_decimals() -> None:
    table = build_table(SPEC, [])
    assert cell(table, "dit", "printed_gmacs").text == "290"


def test_every_format_has_every_figure() -> None:
    table = build_table(SPEC, RUNS)
    console = Console(width=250)
    with console.capture() as capture:
        console.print(render_rich(table, 250))
    for text in (capture.get(), render_markdown(table), render_latex(table)):
        assert "Other printed figures" in text
        for figure in ("48.9", "43.7", "70.5", "76.9"):
            assert figure in text
    header, *lines = render_csv(table).splitlines()
    assert {"mask_ap_percent_ours_sd", "box_ap50_percent_printed"} <= set(header.split(","))
    assert len({line.count(",") for line in (header, *lines)}) == 1
    assert '"mask_ap_percent_difference"' in render_json(table)


@pytest.mark.parametrize(
    ("recipe", "main", "further"),
    [
        ("dit/table1", "top1_percent", []),
        ("pvt/table2", "top1_percent", []),
        ("dit/table2", "box_ap_percent", ["box_ap50_percent", "box_ap75_percent"]),
        ("dit/table4", "box_ap_percent", ["mask_ap_percent"]),
        ("pvt/table10", "box_ap_percent", ["box_ap50_percent", "box_ap75_percent", "latency_ms_per_image"]),
        ("dit/fig4_detection", "box_ap_percent", []),
        ("dit/routing_sweep", "top1_percent", []),
    ],
)
def test_recipes_give_their_figures(recipe: str, main: str, further: list[str]) -> None:
    loaded = load_recipe(recipe)
    profile = "paper" if recipe.startswith("pvt") else "smoke"
    spec = table_spec(loaded, resolve_rows(loaded, [], profile), "")
    assert (spec.quality.metric, [quality.metric for quality in spec.further]) == (main, further)
    assert spec.one_input_size == (spec.quality.metric == "top1_percent" or recipe == "dit/fig4_detection")


def test_figures_of_merit_are_metrics_of_runs() -> None:
    metrics = [quality.metric for quality in QUALITIES]
    assert len(set(metrics)) == len(metrics)
    assert set(metrics) < set(METRIC_NAMES)
    printed = set(Printed.model_fields)
    assert set(metrics) | {quality.difference for quality in QUALITIES if quality.difference} < printed
