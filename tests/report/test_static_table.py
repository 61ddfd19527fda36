"""Counted columns: what matches a print and what does not, rows without a figure, and every format of the table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest
from rich.console import Console

from dit_bench.recipes.schema import Stage
from dit_bench.report.cells import Table
from dit_bench.report.inputs import RowSpec, RunSummary, TableSpec
from dit_bench.report.render_csv import render_csv
from dit_bench.report.render_json import render_json
from dit_bench.report.render_latex import render_latex
from dit_bench.report.render_markdown import render_markdown
from dit_bench.report.render_rich import render_rich
from dit_bench.report.static_cells import static_verdict
from dit_bench.report.static_table import static_table, with_static
from dit_bench.report.table import build_table


@dataclass(frozen=True)
class Count:
    image_size: tuple[int, int] = (224, 224)
    params_total: int | None = None
    params_trainable: int | None = None
    params_layers: int | None = None
    macs: dict[str, int] = field(default_factory=dict)
    paths: dict[str, int] = field(default_factory=dict)
    path_as_printed: str | None = None
    target_macs: int | None = None
    stages: tuple = ()
    problem: str = ""


PRINTED = {"params_m": 44.7, "gmacs": 7.9}
COUNTS = {
    "resnet101": Count(
        params_total=44_549_160,
        macs={"matmul": 7_801_405_440, "mmcv": 7_849_520_000, "mmcv-layernorm": 7_849_520_000, "fvcore": 7_834_000_000},
    ),
    "dit": Count(params_total=102_657_000, paths={"PVTv2 diagonal": 4_027_000_000}, target_macs=3_825_000_000),
    "fully": Count(params_total=102_640_000, paths={"fully": 15_645_000_000}, path_as_printed="fully"),
    "absent": Count(problem="not implemented"),
}
SPEC = TableSpec(
    title="Table 0: models",
    paper_headings={"params_m": "#Param", "gmacs": "GFLOPs", "top1_percent": "Top-1"},
    rows=[
        RowSpec("resnet101", "ResNet101", PRINTED, convention="mmcv", note="Counts buffers."),
        RowSpec("dit", "DiT", {"params_m": 55.9, "gmacs": 3.8}),
        RowSpec("fully", "Fully", {"gmacs": 15.6}),
        RowSpec("absent", "Absent", {"params_m": 1.0, "gmacs": 1.0}, unavailable="no public code"),
    ],
    reference_row=None,
    base_label="PVTv2",
    base_printed_gmacs=None,
    claims=[],
    profile="paper",
    comparable=True,
    command="dit-bench flops table0",
)


@pytest.fixture
def table() -> Table:
    return static_table(SPEC, {}, COUNTS)


def texts(table: Table, row: str) -> dict[str, str]:
    cells = next(entry.cells for entry in table.rows if entry.id == row)
    return {key.removeprefix("static_"): cell.text for key, cell in cells.items()}


@pytest.mark.parametrize(
    ("printed", "ours", "decimals_first", "expected"),
    [
        (11.7, 11.690, None, "match"),
        (1.8, 1.85, None, "within one unit"),
        (1.9, 1.85, None, "match"),  # half goes up, whatever the binary fraction
        (7.9, 7.8495, 2, "match"),
        (7.9, 7.8495, None, "within one unit"),
        (7.9, 7.8449, 2, "within one unit"),
        (4.5, 4.566, None, "within one unit"),
        (4.5, 4.6, None, "within one unit"),
        (4.5, 4.6001, None, "differs"),
        (13.1, 14.009, None, "differs"),
    ],
)
def test_verdicts(printed: float, ours: float, decimals_first: int | None, expected: str) -> None:
    assert static_verdict(printed, 1, ours, decimals_first) == expected


def test_a_static_row_is_judged_by_its_own_convention(table: Table) -> None:
    row = texts(table, "resnet101")
    assert (row["params_m"], row["printed_params_m"], row["params_difference"]) == ("44.549", "44.7", "−0.151")
    assert row["params_verdict"] == "differs"
    assert (row["gmacs"], row["gmacs_difference"], row["gmacs_verdict"]) == ("7.850", "−0.050", "match")
    assert (row["convention"], row["matmul_gmacs"]) == ("mmcv", "7.801")
    assert "ResNet101: Counts buffers." in table.notes
    plain = texts(static_table(SPEC, {}, COUNTS, "matmul"), "resnet101")
    assert (plain["gmacs"], plain["gmacs_verdict"]) == ("7.801", "within one unit")


def test_frozen_parameters_count_where_the_paper_counts_them() -> None:
    count = replace(COUNTS["resnet101"], params_trainable=44_323_816)
    counts = COUNTS | {"resnet101": count}
    rows = [replace(row, params_convention="trainable") if row.id == "resnet101" else row for row in SPEC.rows]
    assert texts(static_table(SPEC, {}, counts), "resnet101")["params_m"] == "44.549"
    trained = static_table(replace(SPEC, rows=rows), {}, counts)
    assert texts(trained, "resnet101")["params_m"] == "44.324"
    assert any("frozen stages" in note for note in trained.notes)
    counts = COUNTS | {"resnet101": replace(count, params_layers=44_100_000)}
    rows = [replace(row, params_convention="layers") if row.id == "resnet101" else row for row in SPEC.rows]
    of_layers = static_table(replace(SPEC, rows=rows), {}, counts)
    assert texts(of_layers, "resnet101")["params_m"] == "44.100"
    assert any("these alone fit" in note for note in of_layers.notes)


def test_what_a_paper_does_not_print_has_no_columns() -> None:
    printed = {"params_m": {"gmacs"}, "gmacs": {"params_m"}}
    for kept, dropped in printed.items():
        rows = [
            replace(row, printed={key: value for key, value in row.printed.items() if key not in dropped})
            for row in SPEC.rows
        ]
        keys = [column.key for column in static_table(replace(SPEC, rows=rows), {}, COUNTS).columns]
        assert f"static_printed_{kept}" in keys
        assert not {f"static_printed_{key}" for key in dropped} & set(keys)
        assert {"static_params_m", "static_matmul_gmacs"} < set(keys)


def test_conventions_without_attention_are_explained_and_rounded_as_mmcv_does() -> None:
    row = RowSpec("resnet101", "ResNet101", PRINTED, convention="mmcv-no-attention")
    macs = COUNTS["resnet101"].macs | {"mmcv-no-attention": 7_845_100_000}
    counts = {"resnet101": replace(COUNTS["resnet101"], macs=macs)}
    table = static_table(replace(SPEC, rows=[row], one_input_size=False), {}, counts)
    assert texts(table, "resnet101")["gmacs_verdict"] == "match"
    assert any(note.startswith("no-attention:") for note in table.notes)
    assert any("synchronised batch norms" in note for note in table.notes)
    assert not any(note.startswith("no-attention:") for note in static_table(SPEC, {}, COUNTS).notes)


def test_a_routed_row_waits_for_its_runs(table: Table) -> None:
    row = texts(table, "dit")
    assert (row["gmacs"], row["gmacs_verdict"]) == ("target 3.825", "no data")
    assert (row["params_m"], row["params_verdict"]) == ("≤ 102.657", "no data")
    assert (row["path_PVTv2 diagonal"], row["path_target of the budget"]) == ("4.027", "3.825")
    assert any("judged from runs" in note for note in table.notes)


def test_a_routed_row_with_runs_shows_the_parameters_that_they_used() -> None:
    runs = [RunSummary("dit", seed, f"run-{seed}", {"params_valid_m": used}) for seed, used in enumerate((55.8, 56.0))]
    row = texts(with_static(build_table(SPEC, runs), SPEC, {}, COUNTS), "dit")
    assert (row["params_m"], row["params_difference"], row["params_verdict"]) == ("55.900", "0.000", "match")


def test_a_fixed_path_is_judged_at_once(table: Table) -> None:
    row = texts(table, "fully")
    assert (row["gmacs"], row["gmacs_verdict"], row["path_target of the budget"]) == ("15.645", "match", "—")


def test_a_row_without_a_model_says_so(table: Table) -> None:
    row = texts(table, "absent")
    assert (row["params_m"], row["gmacs"], row["gmacs_verdict"]) == ("not implemented", "not implemented", "no data")
    assert (row["printed_params_m"], row["printed_gmacs"]) == ("1.0", "1.0")
    assert "Absent: no public code" in table.notes


def test_only_routed_rows_have_paths(table: Table) -> None:
    assert table.sections == ["static", "paths"]
    assert [row.id for row in table.rows_in("paths")] == ["dit", "fully"]
    assert len(table.rows_in("static")) == 4


def test_stages_are_compared_one_by_one() -> None:
    first = Stage(patch_size=4, embed_dim=64, sr_ratio=8, num_heads=1, mlp_ratio=8, depth=3)
    second = Stage(patch_size=2, embed_dim=128, sr_ratio=4, num_heads=2, mlp_ratio=8, depth=3)
    printed, built = [first, second], (first, second.model_copy(update={"depth": 4}))
    counts = COUNTS | {"resnet101": Count(params_total=1, macs=COUNTS["resnet101"].macs, stages=built)}
    table = static_table(SPEC, {"resnet101": printed}, counts)
    row = next(entry.cells for entry in table.rows if entry.id == "resnet101")
    assert (row["stage_1"].text, row["stage_1"].detail) == ("P4 C64 R8 N1 E8 × 3", "")
    assert (row["stage_2"].text, row["stage_2"].detail) == ("P2 C128 R4 N2 E8 × 4", "printed P2 C128 R4 N2 E8 × 3")
    assert row["stages_verdict"].text == "differs"


@pytest.mark.parametrize("with_runs", [False, True])
def test_every_format_has_every_row(with_runs: bool) -> None:
    table = static_table(SPEC, {}, COUNTS)
    if with_runs:
        table = with_static(build_table(SPEC, []), SPEC, {}, COUNTS)
        assert table.sections == ["static", "paths", "result", "cost"]
    console = Console(width=150, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(render_rich(table, 150))
    for text in (capture.get(), render_markdown(table), render_latex(table)):
        for row in SPEC.rows:
            assert row.label in text
        assert "44.549" in text
        assert "16.0" not in text
    lines = render_csv(table).splitlines()
    assert len(lines) == 5
    assert len({line.count(",") for line in lines}) == 1
    cells = json.loads(render_json(table))["rows"][0]["cells"]
    assert cells["static_params_m"]["value"] == pytest.approx(44.54916)
    assert cells["static_gmacs"]["value"] == pytest.approx(7.84952)


def test_rows_at_other_sizes_have_no_print() -> None:
    table = static_table(replace(SPEC, comparable=False), {}, COUNTS)
    keys = {column.key for column in table.columns if column.section == "static"}
    assert keys == {"label", "static_params_m", "static_matmul_gmacs"}
