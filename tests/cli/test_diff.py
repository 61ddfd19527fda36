from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dit_bench.cli.diff import SECTION_CHOICES
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.compare import SECTIONS
from tests.cli.conftest import refused
from tests.report.finished_runs import publish_run

Outcome = Callable[..., tuple[int, str, str]]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two runs of other seeds, and the first one once more, slower."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "runs"
    figures = [(0, 88.0, 5.0), (1, 90.0, 5.0), (0, 88.0, 9.0)]
    return [
        publish_run(root, RunSettings(), seed, {"top1_percent": top1, "train_seconds": seconds}).path.name
        for seed, top1, seconds in figures
    ]


def test_equal_runs_end_with_code_0(names: list[str], outcome: Outcome) -> None:
    code, out, err = outcome("diff", names[0], names[2])
    assert code == 0
    assert err == "equal in everything but time and machine\n"
    assert "(time)\ttrain_seconds\t5\t9\t+4\t+80 %" in out.splitlines()


def test_different_runs_end_with_code_1(names: list[str], outcome: Outcome) -> None:
    code, out, err = outcome("diff", *names[:2])
    assert code == 1
    lines = out.splitlines()
    assert lines[0].split("\t") == ["section", "key", "A", "B", "B − A", "relative"]
    assert "metrics\ttop1_percent\t88\t90\t+2\t+2.27 %" in lines
    assert err.startswith("differ in seed, metrics; the same: settings, ")


def test_json_is_clean_and_has_the_same_code(names: list[str], outcome: Outcome) -> None:
    code, out, err = outcome("diff", *names[:2], "--json")
    assert (code, err) == (1, "")
    assert json.loads(out)["differs_in"] == ["seed", "metrics"]
    code, out, _ = outcome("diff", names[0], names[2], "--json")
    assert (code, json.loads(out)["equal"]) == (0, True)


def test_ignored_differences_do_not_decide(names: list[str], outcome: Outcome) -> None:
    assert outcome("diff", *names[:2], "--ignore", "seed")[0] == 1
    code, out, err = outcome("diff", *names[:2], "--ignore", "seed", "--ignore", "metrics")
    assert (code, err) == (0, "equal in everything but time and machine (metrics, seed ignored)\n")
    assert "top1_percent" in out


def test_what_cannot_be_compared(names: list[str], outcome: Outcome) -> None:
    refused(outcome("diff", names[0], "dit_mni"), 2, "no run 'dit_mni' in runs", "did you mean 'dit_mini'?")
    refused(outcome("diff", "dit_mini", names[0]), 2, "is the beginning of 3 runs")
    refused(outcome("diff", names[0], names[1], "--results", "nowhere"), 2, "there is no finished run in nowhere")
    refused(outcome("diff", names[0]), 2, "Missing argument 'RUN'")
    refused(outcome("diff", *names[:2], "--ignore", "weigths"), 2, "weights")
    Path("runs", names[0], "records.npz").write_bytes(b"")
    assert outcome("diff", *names[:2])[2].startswith(f"note: {names[1]} has no records.npz: not compared\n")
    Path("runs", names[1], "records.npz").write_bytes(b"")
    refused(outcome("diff", *names[:2]), 3, "records.npz: damaged")


def test_the_sections_of_the_command_line_are_those_of_the_comparison() -> None:
    assert SECTION_CHOICES == SECTIONS
