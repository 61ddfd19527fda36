"""`dit-bench check` as its users meet it: a recipe of one's own, runs, a committed baseline, and what can go wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import resolve
from dit_bench.runs.read import FinishedRun
from tests.checked_runs import IMAGES, image_records, publish

Outcome = Callable[..., tuple[int, str, str]]
RECIPE = """\
schema_version: 1
title: "A table"
kind: table
paper: {key: own, table: "1", section: "1"}
profiles:
  smoke: {seeds: [0, 1]}
check:
  top1_percent: {kind: seeds, allowed: 1.0, limit: 4.0}
rows:
  - id: first
    label: "First"
    settings: {model: {name: resnet18}}
  - id: second
    label: "Second"
    settings: {model: {name: resnet18}, optimiser: {lr: 1e-3}}
"""
METRICS = {"top1_percent": 75.0, "gmacs_mean": 0.001, "params_total_m": 1.5, "train_seconds": 3.0}
BASELINE = "baselines/own-smoke.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> Path:
    """A folder with a recipe, its runs in `runs`, and their committed baseline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "own.yaml").write_text(RECIPE, encoding="utf-8")
    for row in ("first", "second"):
        for seed in (0, 1):
            _run(row, seed)
    assert outcome("check", "--update", "own.yaml", "--profile", "smoke", "--reason", "first")[0] == 0
    return tmp_path


def _run(row: str, seed: int, weights: str = "the same", results: str = "runs", **changes: float) -> FinishedRun:
    settings = resolve(load_recipe("own.yaml"), row, "smoke").settings
    return publish(Path(results), settings, seed, {**METRICS, **changes}, weights=weights)


def _figures(outcome: Outcome, *arguments: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    code, out, _ = outcome("check", "--json", *arguments)
    lines = [line for baseline in json.loads(out)["baselines"] for line in baseline["figures"]]
    return code, {(line["row"], line["metric"]): line for line in lines if line["verdict"] != "holds"}


def test_unchanged_runs_pass_and_every_figure_is_listed(project: Path, outcome: Outcome) -> None:
    code, out, err = outcome("check")
    assert code == 0
    heading, *lines = out.splitlines()
    assert heading.split("\t") == ["file", "row", "seeds", "metric", "baseline", "now", "allowed", "verdict"]
    assert {line.split("\t")[-1] for line in lines} == {"holds"}
    assert {line.split("\t")[0] for line in lines} == {BASELINE}
    assert err == f"all {len(lines)} figures pass ({len(lines)} holds)\n"


def test_a_regression_ends_with_1_and_names_itself(project: Path, outcome: Outcome) -> None:
    for seed in (0, 1):
        _run("second", seed, "other", top1_percent=70.0)
    code, out, err = outcome("check")
    assert code == 1
    assert "second\t2\ttop1_percent\t75\t70\t±1 points or noise, ±4 at most\tregression" in out
    assert "regression: second, top1_percent: moved by −5 points; p = 0, significant below 0.01" in err
    assert err.splitlines()[-1].startswith("error: 1 of ")
    assert f"{BASELINE}: second, top1_percent: regression" in err.splitlines()[-1]


def test_the_newest_repeat_counts(project: Path, outcome: Outcome) -> None:
    _run("first", 0, gmacs_mean=0.0010001)
    assert _figures(outcome)[1].keys() == {("first", "gmacs_mean")}
    _run("first", 0)
    assert _figures(outcome)[0] == 0


def test_one_planted_label_is_caught(project: Path, outcome: Outcome) -> None:
    for image in (0, IMAGES - 1):
        records = image_records(np.random.default_rng(1))
        assert records.label is not None
        records.label[image] = (records.label[image] + 1) % 10
        settings = resolve(load_recipe("own.yaml"), "first", "smoke").settings
        publish(Path("runs"), settings, 1, METRICS, records=records)
        code, figures = _figures(outcome)
        assert code == 1
        assert figures.keys() == {("first", "labels")}
        assert figures["first", "labels"]["note"] == "seed 1: records.label: the images or their labels are others"


def test_an_improvement_fails_only_where_asked(project: Path, outcome: Outcome) -> None:
    for seed in (0, 1):
        _run("first", seed, "other", top1_percent=80.0)
    code, figures = _figures(outcome)
    assert (code, figures["first", "top1_percent"]["verdict"]) == (0, "better")
    assert _figures(outcome, "--strict")[0] == 1


def test_an_empty_results_folder_fails_and_says_what_makes_the_runs(project: Path, outcome: Outcome) -> None:
    code, figures = _figures(outcome, "--results", "none")
    assert (code, len(figures)) == (1, 2)
    note = figures["first", "run"]["note"]
    assert note == (
        "no finished run in none: dit-bench train own.yaml --row first --profile smoke --seed 1 --results none"
    )


def test_a_baseline_of_runs_that_are_not_there_names_the_command_that_makes_them(
    project: Path, outcome: Outcome
) -> None:
    words = ("own.yaml", "--profile", "smoke", "optimiser.epochs=7", "--row", "second", "--reason", "x")
    code, _, said = outcome("check", "--update", *words)
    assert code == 3
    assert "make it with dit-bench train own.yaml --row second --profile smoke --seed 0 optimiser.epochs=7" in said


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null", '"75"'])
def test_a_figure_that_is_no_number_fails(project: Path, outcome: Outcome, value: str) -> None:
    file = next(Path("runs").glob("*-seed0/run.json"))
    file.write_text(file.read_text(encoding="utf-8").replace('"top1_percent": 75.0', f'"top1_percent": {value}'))
    code, figures = _figures(outcome)
    assert code == 1
    (line,) = figures.values()
    assert (line["metric"], line["verdict"]) == ("run", "missing")
    assert "damaged: metrics.top1_percent" in line["note"]


def test_an_older_repeat_does_not_stand_in_for_a_damaged_newer_one(project: Path, outcome: Outcome) -> None:
    newer = _run("first", 0)
    assert newer.path.name.endswith("-r2")
    (newer.path / "run.json").write_text("{", encoding="utf-8")
    code, figures = _figures(outcome)
    assert (code, figures.keys()) == (1, {("first", "run")})
    assert "damaged" in figures["first", "run"]["note"]
    _run("first", 0)
    assert outcome("check")[0] == 0, "a third one is newer still"


def test_a_renamed_row_fails_and_the_right_name_is_near(project: Path, outcome: Outcome) -> None:
    (project / "own.yaml").write_text(RECIPE.replace("id: second", "id: seconds"), encoding="utf-8")
    code, figures = _figures(outcome)
    assert code == 1
    assert "unknown row 'second' — did you mean 'seconds'?" in figures["second", "row"]["note"]


def test_changed_settings_fail_by_name(project: Path, outcome: Outcome) -> None:
    (project / "own.yaml").write_text(RECIPE.replace("lr: 1e-3", "lr: 1e-4"), encoding="utf-8")
    code, figures = _figures(outcome)
    assert (code, figures.keys()) == (1, {("second", "settings")})
    note = figures["second", "settings"]["note"]
    assert note == "the recipe's settings changed: optimiser.lr was 0.001, is 0.0001"


def test_reports_are_written_and_replaced_but_nothing_else_is(project: Path, outcome: Outcome) -> None:
    for _ in range(2):
        assert outcome("check", "--junit", "out.xml", "--markdown", "out.md")[0] == 0
    root = ElementTree.parse("out.xml").getroot()
    assert root.attrib["failures"] == "0"
    assert int(root.attrib["tests"]) == len(root.findall("testsuite/testcase")) > 10
    assert Path("out.md").read_text(encoding="utf-8").startswith("### dit-bench check: passed\n")
    Path("README.md").write_text("mine", encoding="utf-8")
    code, out, err = outcome("check", "--markdown", "README.md")
    assert (code, out) == (2, "")
    assert "README.md: exists" in err
    assert Path("README.md").read_text(encoding="utf-8") == "mine"
    assert outcome("check", "--junit", "no/out.xml")[0] == 2
    assert outcome("check", "--junit", "out.txt")[0] == 2


def test_the_step_summary_is_added_to_and_never_too_long(
    project: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = project / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    summary.write_text("before\n", encoding="utf-8")
    assert outcome("check")[0] == 0
    assert summary.read_text(encoding="utf-8").startswith("before\n### dit-bench check: passed")
    summary.write_bytes(b"x" * (2**20 - 500))
    assert outcome("check")[0] == 0
    assert 2**20 - 300 < summary.stat().st_size <= 2**20
    assert "Cut here" in summary.read_text(encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project))
    code, _, err = outcome("check")
    assert code == 0, "where the verdict is shown does not change it"
    assert "GITHUB_STEP_SUMMARY" in err


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["none.json"], 3, "none.json: no such file"),
        (["own.yaml"], 2, "own.yaml: a recipe; baselines are .json files — to write one, add --update"),
        (["dit/table6"], 2, "a recipe; baselines are .json files"),
        (["--reason", "x"], 2, "--reason: has a meaning only with --update"),
        (["--row", "x"], 2, "--row: has a meaning only with --update"),
        (["--bench", "none.json"], 3, "none.json: no such file"),
        (["--update"], 2, "--update needs --reason TEXT"),
        (["--update", "--reason", " "], 2, "--update needs --reason TEXT"),
        (["--update", "--reason", "x"], 2, "--update needs the name of a RECIPE"),
        (["--update", "--reason", "x", "own.yaml", "--junit", "a.xml"], 2, "--junit: has no meaning with --update"),
        (["--update", "--reason", "x", "own.yaml", "--profile", "smoke", "--row", "frst"], 2, "did you mean 'first'?"),
        (["--update", "--reason", "x", "own.yaml", "--profile", "smoke", "optimiser.lrr=1"], 2, "'optimiser.lr'?"),
        (["--update", "--reason", "x", "own.yaml", "--profile", "smoke", "--seed", "7"], 3, "row 'first', seed 7"),
        (["--update", "--reason", "x", "own.yaml", "--counted", "--seed", "7"], 2, "counts have no seeds"),
        (["--update", "--reason", "x", "a.json", "--counted"], 2, "a.json is a measurement, not a recipe"),
        (["--update", "--reason", "x", "own.yaml", "--file", "b.txt"], 2, "b.txt: baselines are .json files"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_one_line(
    project: Path, outcome: Outcome, arguments: list[str], code: int, expected: str
) -> None:
    found, out, err = outcome("check", *arguments)
    assert (found, out) == (code, ""), err
    assert err.count("\n") == 1
    assert expected in err


def test_without_baselines_the_command_that_writes_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = outcome("check")
    assert (code, out) == (2, "")
    assert "baselines: no baselines" in err
    assert "dit-bench check --update RECIPE" in err


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{", "not valid JSON"), ('{"kind": "runs", "schema_version": 99}', "written by a newer dit-bench")],
)
def test_a_broken_baseline_ends_with_3(project: Path, outcome: Outcome, content: str, expected: str) -> None:
    Path(BASELINE).write_text(content, encoding="utf-8")
    code, out, err = outcome("check")
    assert (code, out) == (3, "")
    assert expected in err


def test_renewing_keeps_the_history(project: Path, outcome: Outcome) -> None:
    renew = ("check", "--update", "own.yaml", "--profile", "smoke", "--reason", "new schedule")
    before = Path(BASELINE).read_bytes()
    code, _, err = outcome(*renew)
    assert (code, err) == (0, f"{BASELINE}: nothing differs, left as it is\n")
    assert Path(BASELINE).read_bytes() == before
    _run("second", 1, gmacs_mean=0.002)
    assert outcome("check")[0] == 1
    code, _, err = outcome(*renew, "--row", "second", "--seed", "1")
    assert code == 0
    assert err.splitlines() == [f"wrote {BASELINE}", "second seed 1, gmacs_mean: 0.001 -> 0.002"]
    document = json.loads(Path(BASELINE).read_text(encoding="utf-8"))
    assert [entry["reason"] for entry in document["history"]] == ["first", "new schedule"]
    assert [run["seed"] for run in document["rows"]["second"]["runs"]] == [0, 1]
    assert outcome("check")[0] == 0


def test_settings_of_the_command_line_stay_with_the_baseline(project: Path, outcome: Outcome) -> None:
    settings = resolve(load_recipe("own.yaml"), "first", "smoke", ["optimiser.epochs=5"]).settings
    publish(Path("runs"), settings, 0, METRICS)
    words = ["check", "--update", "own.yaml", "optimiser.epochs=5", "--profile", "smoke", "--reason", "longer"]
    code, _, err = outcome(*words, "--row", "first", "--seed", "0")
    assert code == 2
    assert "the baseline is one of own.yaml --profile smoke — choose another --file" in err
    assert outcome(*words, "--row", "first", "--seed", "0", "--file", "baselines/longer.json")[0] == 0
    assert outcome("check", "baselines/longer.json")[0] == 0


def test_counts_need_no_run(project: Path, outcome: Outcome) -> None:
    words = ["check", "--update", "own.yaml", "--counted", "--profile", "smoke", "--reason", "first"]
    assert outcome(*words)[0] == 0
    file = Path("baselines/own-counted.json")
    figures = json.loads(file.read_text(encoding="utf-8"))["rows"]["first"]["figures"]
    assert figures["params_total"] == 11_181_642, "torchvision's resnet18 has 11,689,512 with 1000 classes"
    shutil.rmtree("runs")
    assert outcome("check", str(file))[0] == 0
    file.write_text(file.read_text(encoding="utf-8").replace("11181642", "11181643"), encoding="utf-8")
    code, found = _figures(outcome, str(file))
    assert code == 1
    assert {metric for _, metric in found} == {"params_total", "params_trainable"}
