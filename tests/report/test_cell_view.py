"""Cells of tables that were made from runs are traced back to them, with and without the runs' folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dit_bench.errors import UsageError
from dit_bench.recipes.identity import canonical_json, hash10
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import resolve_rows
from dit_bench.report.cell_view import NOT_STORED, cell_document, cell_lines, find_cell, table_lines
from dit_bench.report.from_runs import summaries, table_spec
from dit_bench.report.save_table import save_table
from dit_bench.report.saved_table import read_table
from dit_bench.report.table import build_table
from dit_bench.runs.store import RunStore
from tests.report.finished_runs import publish_run
from tests.report.test_saved_table import VERSION_1

TOP1 = {"static": (60.0, 62.0), "dynamic": (80.0, 81.0)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def document(tmp_path: Path, root: Path) -> dict[str, Any]:
    """DiT's Table 6 with two seeds of two rows, saved and read again."""
    loaded = load_recipe("dit/table6")
    rows = resolve_rows(loaded, [], "mini", [], [0, 1])
    for row in rows:
        for seed, top1 in enumerate(TOP1.get(row.row.id, ())):
            times = {"latency_ms_per_image": 2.0, "base_latency_ms_per_image": 1.0}
            metrics = {"top1_percent": top1, "gmacs_mean": 0.008 + 0.001 * seed, "base_gmacs": 0.01, **times}
            publish_run(root, row.settings, seed, metrics)
    spec = table_spec(loaded, rows, "dit-bench ablate dit/table6 --profile mini")
    return read_table(save_table(build_table(spec, summaries(rows, RunStore(root))), tmp_path / "table.json"))


def _traced(document: dict[str, Any], name: str, root: Path) -> dict[str, Any]:
    return cell_document(document, *find_cell(document, name), root)


def _said(traced: dict[str, Any], key: str) -> list[str]:
    return [value for _, name, value in cell_lines(traced) if name == key]


def test_a_mean_is_traced_to_its_runs_when_their_folders_are_gone(document: dict[str, Any], root: Path) -> None:
    records = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in root.glob("*/run.json")}
    settings = {row.row.id: row.settings for row in resolve_rows(load_recipe("dit/table6"), [], "mini")}
    shutil.rmtree(root)
    traced = _traced(document, "static/quality", root)
    assert (traced["value"], traced["recomputed"], traced["agrees"]) == (61.0, 61.0, True)
    assert (traced["metric"], [entry["value"] for entry in traced["values"]]) == ("top1_percent", [60.0, 62.0])
    assert "n = 2 runs (seeds 0, 1)" in traced["how"]
    assert [run["seed"] for run in traced["runs"]] == [0, 1]
    for run in traced["runs"]:
        record = records[run["run_id"]]
        assert run["known_from"] == "table"
        assert run["settings_hash"] == hash10(settings["static"])
        assert run["num_images"] == record["num_images"]
        assert {key: run[key] for key in record["provenance"]} == record["provenance"]
    assert document["settings"][hash10(settings["static"])] == json.loads(canonical_json(settings["static"]))
    assert set(_said(traced, "weights SHA-256")) == {
        record["provenance"]["weights_sha256"] for record in records.values()
    }


def test_ratios_differences_and_rho_are_computed_again(document: dict[str, Any], root: Path) -> None:
    ratio = _traced(document, "static/ratio", root)
    assert [entry["value"] for entry in ratio["values"]] == pytest.approx([0.8, 0.9])
    assert (ratio["agrees"], "PVTv2 of the same size and input" in ratio["how"]) == (True, True)
    assert ratio["convention"].startswith("matmul")
    difference = _traced(document, "static/difference", root)
    assert (difference["recomputed"], difference["agrees"]) == (-19.5, True)
    assert "that of row dynamic, paired by seed, n = 2" in difference["how"]
    assert len(difference["runs"]) == 4
    # Half as fast at 0.8 and 0.9 of the MACs: (0.5 - 1) / (1 / 0.8 - 1) = -2 and (0.5 - 1) / (1 / 0.9 - 1) = -4.5.
    rho = _traced(document, "static/rho", root)
    assert [entry["value"] for entry in rho["values"]] == pytest.approx([-2.0, -4.5])
    assert rho["agrees"] is True


def test_verdicts_name_the_column_and_the_runs_that_they_judge(document: dict[str, Any], root: Path) -> None:
    verdict = _traced(document, "static/verdict", root)
    assert verdict["how"].startswith("column difference beside the print")
    assert (len(verdict["runs"]), verdict["agrees"]) == (4, None)
    assert _traced(document, "static/macs_verdict", root)["how"].startswith("column ratio beside the print")


def test_what_is_printed_is_traced_to_the_paper(document: dict[str, Any], root: Path) -> None:
    traced = _traced(document, "static/printed_quality", root)
    assert (traced["value"], traced["kind"], traced["runs"]) == (80.7, "printed", [])
    assert traced["printed_in"] == {
        "recipe": "dit/table6",
        "paper": "dit",
        "table": "6",
        "figure": None,
        "section": "4.4",
    }
    assert _said(traced, "stands in") == ["dit, Table 6, §4.4, row Static"]
    derived = _traced(document, "fully/printed_ratio", root)
    assert derived["kind"] == "derived"
    assert "the printed cost of the row over that of the base" in derived["how"]
    assert _traced(document, "fully/quality", root)["how"].startswith("nothing")


def test_every_cell_of_the_table_can_be_traced(document: dict[str, Any], root: Path) -> None:
    lines = table_lines(document)
    assert ("static", "quality", "61.00 ± 1.41 (2)", "measured") in lines
    for row, column, text, kind in lines:
        traced = _traced(document, f"{row}/{column}", root)
        assert (traced["text"], traced["kind"]) == (text, kind)
        if kind == "measured":
            assert traced["runs"], column
            assert traced["agrees"] is True, column
        assert cell_lines(traced)


def test_a_figure_that_does_not_follow_from_the_runs_is_noticed(document: dict[str, Any], root: Path) -> None:
    document["rows"][0]["cells"]["quality"]["value"] = 61.5
    traced = _traced(document, "static/quality", root)
    assert traced["agrees"] is False
    assert _said(traced, "computed again from these") == ["ANOTHER figure, 61"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("statc/quality", r"no row 'statc' in this table — did you mean 'static'\?"),
        ("static/qualty", r"no column 'qualty' in this table — did you mean 'quality'\?"),
        ("static/zzz", r"no column 'zzz' in this table — the columns are label, printed_gmacs, "),
        ("static", r"--cell static: expected ROW/COLUMN — as in static/runs"),
        ("/quality", r"no row '' in this table — the rows are static, dynamic, fully"),
    ],
)
def test_misspelt_cells(document: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_cell(document, name)


def test_cells_are_found_by_what_the_table_shows(document: dict[str, Any]) -> None:
    assert find_cell(document, "Dynamic (ours)/Acc.(%), ours (n)") == ("dynamic", "quality")
    assert find_cell(document, "DYNAMIC/Latency, ms/image") == ("dynamic", "latency_ms_per_image")


def test_an_old_table_says_what_it_does_not_know(tmp_path: Path) -> None:
    old = read_table(VERSION_1)
    traced = _traced(old, "dynamic/quality", tmp_path)
    assert (traced["metric"], traced["agrees"]) == ("top1_percent", True)
    assert "does not name the metric" in traced["guessed"]
    assert {run["known_from"] for run in traced["runs"]} == {None}
    assert _said(traced, "provenance") == [NOT_STORED] * 3
    difference = _traced(old, "static/difference", tmp_path)
    assert (difference["metric"], difference["agrees"], len(difference["runs"])) == ("top1_percent", True, 6)
    assert "minus that of dynamic gives this figure" in difference["guessed"]
    for key in ("gmacs", "ratio", "rho"):
        assert _traced(old, f"static/{key}", tmp_path)["agrees"] is True
    assert _said(_traced(old, "static/printed_gmacs", tmp_path), "stands in") == [f"{old['title']}, row Static"]


def test_an_old_table_finds_the_folders_of_its_runs(document: dict[str, Any], root: Path) -> None:
    old = {**document, "source": None, "provenance": None, "settings": None}
    traced = _traced(old, "static/quality", root)
    assert {(run["known_from"], run["figures"]) for run in traced["runs"]} == {("folder", "same")}
    old["runs"][0]["metrics"]["latency_ms_per_image"] = 3.0
    old["runs"][1]["metrics"]["top1_percent"] = 62.5
    repeated, other = _traced(old, "static/quality", root)["runs"]
    assert (repeated["known_from"], repeated["figures"]) == ("folder", "same but for times")
    assert (other["known_from"], other["figures"]) == (None, "other")
    assert "weights_sha256" not in other
