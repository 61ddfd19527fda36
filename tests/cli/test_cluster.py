"""The options of --cluster, and what is said while jobs are watched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from dit_bench.cli.cluster_view import LiveFanOutReporter, PlainFanOutReporter
from dit_bench.engine.cluster.entry import Entry
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import planned_runs, resolve_rows
from dit_bench.runs.plan import plan_steps

Outcome = Callable[..., tuple[int, str, str]]


@pytest.fixture
def entries() -> list[Entry]:
    return [Entry(step) for step in plan_steps(planned_runs(resolve_rows(load_recipe("dtop/table1"), [], "smoke")))]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--partition", "gpu"], "--partition: means something only with --cluster"),
        (["--max-jobs", "2"], "--max-jobs: means something only with --cluster"),
        (["--cancel-on-exit"], "--cancel-on-exit: means something only with --cluster"),
        (["--cluster", "local", "--mem-gb", "4"], "--mem-gb: means something only with --cluster slurm"),
        (["--cluster", "local", "--slurm", "account=us"], "--slurm: means something only with --cluster slurm"),
        (["--cluster", "slurm", "--slurm", "time=3"], "use --time-min"),
        (["--cluster", "local", "--force"], "--force: a job that is restarted"),
        (["--cluster", "local", "--only-finished"], "--only-finished"),
        (["--cluster", "lsf"], "--cluster"),
        (["--cluster", "local", "--gpus", "99", "--device", "cpu"], "this machine has 0 CUDA device(s) to give"),
    ],
)
def test_options_without_meaning_are_refused(options: list[str], words: str, outcome: Outcome, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    results = tmp_path / "runs"
    code, out, err = outcome("ablate", "dit/table6", "--profile", "smoke", "--results", str(results), *options)
    assert (code, out) == (2, "")
    assert words in err
    assert not results.exists()


def test_without_submitit_the_remedy_is_one_line(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    results = str(tmp_path / "runs")
    code, _, err = outcome("ablate", "dit/table6", "--profile", "smoke", "--cluster", "local", "--results", results)
    assert code == 2
    assert err == "error: --cluster needs the package submitit — pip install 'dit-bench[cluster]'\n"


def test_a_pipe_gets_a_line_per_change(
    entries: list[Entry], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = PlainFanOutReporter(tmp_path / "jobs")
    first, second, third, _ = entries
    for state in ("queued", "queued", "running"):
        first.state, first.job_id, first.log = state, "17", tmp_path / "17.out"
        reporter.changed(first)
    first.state, first.message = "failed", "no such file"
    reporter.changed(first)
    second.state = "waiting"
    reporter.changed(second)
    third.state, third.message = "held", "being worked on by process 5"
    reporter.changed(third)
    reporter.left([*entries, Entry(first.step, state="running")], cancelled=False)
    assert capsys.readouterr().err.splitlines() == [
        f"logs {tmp_path / 'jobs'}",
        f"queued {first.step.name} (job 17)",
        f"running {first.step.name} (job 17)",
        f"error: {first.step.name}: no such file — log: {tmp_path / '17.out'}",
        f"waiting {second.step.name}: starts from {second.step.before}",
        f"held {third.step.name}: being worked on by process 5",
        "1 running and 0 queued jobs go on without this command; 2 runs are not submitted yet; the same command watches"
        " them again (--cancel-on-exit would have cancelled them)",
    ]


def test_a_terminal_gets_a_table_of_what_is_open(entries: list[Entry], tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=160, force_terminal=False)
    reporter = LiveFanOutReporter(tmp_path / "jobs", Live(console=console))
    running, done = entries[0], entries[1]
    running.state, running.job_id, done.state = "running", "17", "finished"
    partial = tmp_path / f"{running.step.name}.partial"
    partial.mkdir()
    (partial / "epochs.jsonl").write_text("{}\n{}\n", encoding="utf-8")
    reporter.changed(running)
    console.print(reporter.table(entries))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "1 finished, 1 running" in " ".join(text.split())
    line = next(line for line in text.splitlines() if running.step.name in line).split()
    assert line == ["baseline", "0", running.step.name, "running", "17", "2", "0", "min"]
    assert done.step.name not in text
