"""A dry run lists what would be executed and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import planned_runs, resolve_rows
from dit_bench.runs.plan import PlannedStep, plan_steps
from dit_bench.runs.store import RunStore
from tests.small_records import small_record

Outcome = Callable[..., tuple[int, str, str]]


def _steps(recipe: str, *rows: str) -> list[PlannedStep]:
    return plan_steps(planned_runs(resolve_rows(load_recipe(recipe), rows, "smoke")))


def _files(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*")}


def _arguments(verb: str, recipe: str, tmp_path: Path, *further: str) -> list[str]:
    folders = ["--results", str(tmp_path / "runs"), "--data-dir", str(tmp_path / "scenes")]
    return [verb, recipe, "--profile", "smoke", *folders, "--dry-run", "--throughput", "10", *further]


def test_every_run_is_listed_with_what_it_starts_from(outcome: Outcome, tmp_path: Path) -> None:
    cluster = ["--cluster", "slurm", "--partition", "vision", "--gpus", "1", "--json"]
    code, out, err = outcome(*_arguments("ablate", "dtop/table1", tmp_path, "--row", "finetune", *cluster))
    assert (code, err) == (0, "")
    document = json.loads(out)
    start, finetuned = document["runs"]
    assert (start["rows"], start["needed_by"], start["starts_from"]) == ([], [finetuned["run"]], None)
    assert (finetuned["rows"], finetuned["starts_from"]) == (["finetune"], start["run"])
    assert start["where"] == "Slurm vision, cuda"
    assert start["seconds_from"] == "10 GMACs/s as stated"
    totals = document["totals"]
    assert totals["seconds"] == pytest.approx(start["seconds"] + finetuned["seconds"])
    assert totals["wall_seconds"] == pytest.approx(totals["seconds"]), "one waits for the other"
    assert list(tmp_path.iterdir()) == [], "nothing is written, no scene is drawn"


def test_finished_interrupted_and_new_runs_are_told_apart(outcome: Outcome, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    static, dynamic, fully = _steps("dit/table6")
    with store.begin(static.settings, 0) as folder:
        folder.publish(small_record(static.settings, 0, train_seconds=1.0))
    with store.begin(dynamic.settings, 0) as folder:
        position = {"epoch": 1, "step": 0, "updates": 20, "images_seen": 640, "seconds": 60.0, "epochs_logged": 1}
        metadata = {"state": json.dumps({"position": position})}
        save_file({"x": np.zeros(1, np.float32)}, folder.path / "state.safetensors", metadata)
    before = _files(tmp_path)
    code, out, err = outcome(*_arguments("train", "dit/table6", tmp_path, "--device", "cpu"))
    assert code == 0
    lines = [line.split("\t") for line in out.splitlines()]
    states = {line[2]: (line[3], line[5]) for line in lines[1:]}
    assert states[static.name] == ("finished", "")
    # Four epochs of 640 images; one took a minute.
    state, minutes = states[dynamic.name]
    assert state == "goes on after epoch 1"
    assert 3.0 <= float(minutes) < 3.2
    assert states[fully.name][0] == "new"
    assert "2 of 3 runs to do" in err
    assert "time from its own training so far" in err
    assert _files(tmp_path) == before
    assert not (tmp_path / "scenes").exists()


def test_a_dry_run_with_force_would_run_everything_again(outcome: Outcome, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    (step,) = _steps("dit/table6", "static")
    with store.begin(step.settings, 0) as folder:
        folder.publish(small_record(step.settings, 0, train_seconds=1.0))
    arguments = _arguments("train", "dit/table6", tmp_path, "--row", "static", "--device", "cpu", "--json")
    assert json.loads(outcome(*arguments)[1])["totals"]["runs"] == 0
    assert json.loads(outcome(*arguments, "--force")[1])["totals"]["runs"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ablate", "dit/table6", "--throughput", "3"], "only with --dry-run"),
        (["train", "dit/table6", "--throughput", "3"], "only with --dry-run"),
        (["ablate", "dit/table6", "--dry-run", "--out", "x.md"], "--out: --dry-run writes nothing"),
        (["ablate", "dit/table6", "--dry-run", "--throughput", "0"], "--throughput"),
    ],
)
def test_contradictions_are_refused(arguments: list[str], words: str, outcome: Outcome) -> None:
    code, out, err = outcome(*arguments)
    assert (code, out) == (2, "")
    assert words in err
