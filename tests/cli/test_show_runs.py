"""`show` of runs and saved tables, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import resolve_rows
from dit_bench.recipes.settings import RunSettings
from dit_bench.report.bench_table import save_bench
from dit_bench.runs.read import run_folders
from tests.cli.conftest import refused
from tests.report.finished_runs import publish_run
from tests.report.test_bench_table import REPORT
from tests.report.test_saved_table import VERSION_1

Outcome = Callable[..., tuple[int, str, str]]


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run in the folder that is looked through by default."""
    monkeypatch.chdir(tmp_path)
    return publish_run(tmp_path / "runs", RunSettings(), 0, {"top1_percent": 88.25}).path.name


def test_a_run_for_people_and_programs(name: str, outcome: Outcome) -> None:
    code, out, err = outcome("show", name)
    assert (code, err) == (0, "")
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0] == ["section", "key", "value"]
    assert ["metrics", "top1_percent", "88.25"] in lines
    code, out, err = outcome("show", name.split("-")[2], "--json", "--results", "runs")
    assert (code, err) == (0, "")
    assert json.loads(out)["record"]["metrics"] == {"top1_percent": 88.25}


def test_other_weights_are_shown_and_end_with_the_code_of_wrong_data(name: str, outcome: Outcome) -> None:
    Path("runs", name, "weights.safetensors").write_bytes(b"other")
    code, out, err = outcome("show", name, "--json")
    assert code == 3
    assert json.loads(out)["weights"] == "differ"
    assert err.startswith("error: ")
    assert "run it again with --force" in err


def test_options_that_have_no_meaning_are_refused(name: str, outcome: Outcome) -> None:
    for options in (["--row", "x"], ["--profile", "mini"], ["--seed", "1"], ["optimiser.lr=1"]):
        refused(outcome("show", name, *options), 2, options[0], f"{name} is a run, and its settings are fixed")
    refused(outcome("show", name, "--cell", "a/b"), 2, "is not a saved table")
    refused(outcome("show", "dit/table6", "--cell", "a/b"), 2, "is not a saved table")
    refused(outcome("show", str(VERSION_1), "--row", "static"), 2, "is a saved table")


def test_misspelt_and_unfinished_runs(name: str, outcome: Outcome) -> None:
    refused(outcome("show", name.replace("mini", "mni")), 2, "no recipe and no run in runs", f"'{name}'")
    Path("runs", f"{name[:-1]}1.partial").mkdir()
    refused(outcome("show", f"runs/{name[:-1]}1.partial"), 2, "not finished")
    refused(outcome("show", "runs"), 3, "no run.json in it", "name one of the 1 runs in it")


def test_a_cell_of_a_saved_table(name: str, outcome: Outcome) -> None:
    code, out, err = outcome("show", str(VERSION_1))
    assert (code, err) == (0, "")
    assert "static\tquality\t64.36 ± 5.55 (3)\tmeasured" in out.splitlines()
    code, out, err = outcome("show", str(VERSION_1), "--cell", "static/quality")
    assert (code, err) == (0, "")
    assert "origin\tdit_mini-static-2cf6f3c0b1-seed0\t58.6" in out.splitlines()
    code, out, err = outcome("show", str(VERSION_1), "--cell", "static/quality", "--json")
    assert (code, err) == (0, "")
    assert (json.loads(out)["file"], json.loads(out)["metric"]) == (str(VERSION_1), "top1_percent")
    refused(outcome("show", str(VERSION_1), "--cell", "statc/quality"), 2, "did you mean 'static'?")
    code, out, err = outcome("show", str(VERSION_1), "--json")
    assert json.loads(out)["provenance"] is None


def test_what_ablate_writes_is_traced_without_the_runs(tmp_path: Path, name: str, outcome: Outcome) -> None:
    row = resolve_rows(load_recipe("dit/table6"), ["dynamic"], "smoke")[0]
    run = publish_run(tmp_path / "runs", row.settings, row.seeds[0], {"top1_percent": 50.0})
    table = ["ablate", "dit/table6", "--profile", "smoke", "--only-finished", "--out", "table.json"]
    assert outcome(*table)[0] == 0
    (tmp_path / "runs").rename(tmp_path / "gone")
    code, out, _ = outcome("show", "table.json", "--cell", "dynamic/quality", "--json")
    assert code == 0
    (behind,) = json.loads(out)["runs"]
    assert (behind["run_id"], behind["known_from"]) == (run.path.name, "table")
    assert behind["weights_sha256"] == run.record.provenance.weights_sha256


def test_what_flops_writes_says_how_it_was_counted(tmp_path: Path, name: str, outcome: Outcome) -> None:
    code, _, err = outcome("flops", "dit/table6", "--row", "fully", "--out", "counted.json")
    assert code == 0, err
    code, out, _ = outcome("show", "counted.json", "--cell", "fully/static_gmacs", "--json")
    traced = json.loads(out)
    assert (code, traced["convention"], traced["runs"]) == (0, "matmul", [])
    assert "at 224x224" in traced["how"]
    assert traced["command"].startswith("dit-bench flops dit/table6")
    assert traced["counted_by"]["dit_bench_version"]


def test_completion_knows_runs(name: str) -> None:
    from dit_bench.cli.diff import complete_run
    from dit_bench.cli.show import command, complete_shown

    context, parameter = command.make_context("show", ["x"]), command.params[0]
    assert [folder.name for folder in run_folders(Path("runs"))] == [name]
    assert [item.value for item in complete_shown(context, parameter, "dit_m")] == [name]
    assert "dit/table6" in [item.value for item in complete_shown(context, parameter, "dit/")]
    assert [item.value for item in complete_run(context, parameter, "dit_m")] == [name]
    assert [item.type for item in complete_run(context, parameter, "folder/")] == ["file"]


def test_a_saved_benchmark(tmp_path: Path, name: str, outcome: Outcome) -> None:
    file = str(save_bench(REPORT, tmp_path / "bench.json"))
    code, out, err = outcome("show", file)
    assert (code, err) == (0, "")
    assert "provenance\tdevice\tcpu" in out.splitlines()
    assert json.loads(outcome("show", file, "--json")[1])["provenance"]["device"] == "cpu"
    refused(outcome("show", file, "--cell", "a/b"), 2, "is a benchmark's result")
