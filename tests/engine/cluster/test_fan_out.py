"""Runs as jobs: what is submitted when, what is started again, what fails; the cluster is a script of the test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from dit_bench.engine.cluster.entry import Entry
from dit_bench.engine.cluster.fan_out import MOST_STALLS, FanOut, failure
from dit_bench.engine.cluster.job import RunJob
from dit_bench.engine.cluster.outcome import Outcome, write_outcome
from dit_bench.engine.cluster.request import ClusterRequest
from dit_bench.engine.cluster.slurm_queue import JobState
from dit_bench.engine.cluster.submission import OUTCOME_FILE, job_folder
from dit_bench.errors import InterruptedRunError
from dit_bench.recipes.identity import run_name
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import planned_runs, resolve_rows
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.plan import PlannedStep, plan_steps
from dit_bench.runs.store import RunStore
from tests.small_records import small_record

Act = Callable[["Scripted", str, RunJob], str]
"""What happens when a job is looked at: it returns the cluster's word for how it ended, or nothing while it runs."""


def finish(place: Scripted, name: str, job: RunJob) -> str:
    """The job does its work."""
    settings = RunSettings.model_validate_json(job.settings)
    with RunStore(Path(job.root)).begin(settings, job.seed) as folder:
        folder.publish(small_record(settings, job.seed))
    return "COMPLETED"


def says(exit_code: int, message: str, word: str = "FAILED") -> Act:
    """The job ends and says how."""

    def act(place: Scripted, name: str, job: RunJob) -> str:
        write_outcome(Path(job.outcome_file), Outcome(exit_code, message, expected=True))
        return word

    return act


def dies(word: str = "") -> Act:
    """The job ends without a word of its own."""
    return lambda place, name, job: word


class Scripted:
    """A cluster on which each job does what the test says, the first look finding it queued."""

    def __init__(self, capacity: int | None = None, acts: dict[str, list[Act]] | None = None) -> None:
        self.capacity, self.acts = capacity, acts or {}
        self.submitted: list[str] = []
        self.jobs: dict[str, tuple[str, RunJob]] = {}
        self.looks: dict[str, int] = {}
        self.cancelled: list[str] = []
        self.most = 0
        self.left: dict[str, str] = {}

    def submit(self, name: str, job: RunJob) -> str:
        job_id = str(len(self.jobs))
        self.submitted.append(name)
        self.jobs[job_id] = name, job
        return job_id

    def look(self, ids: Collection[str]) -> dict[str, JobState]:
        self.most = max(self.most, len(ids))
        return {job_id: self._look(job_id) for job_id in ids}

    def _look(self, job_id: str) -> JobState:
        name, job = self.jobs[job_id]
        self.looks[job_id] = self.looks.get(job_id, 0) + 1
        if self.looks[job_id] == 1:
            return JobState("running", "RUNNING")
        acts = self.acts.get(name, [])
        act = acts.pop(0) if acts else finish
        return JobState("ended", act(self, name, job))

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    def left_behind(self, name: str) -> str | None:
        return self.left.get(name)


class Notes:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []
        self.on_look: Callable[[list[Entry]], None] = lambda entries: None
        self.ends: list[bool] = []

    def changed(self, entry: Entry) -> None:
        self.states.append((entry.step.name, entry.state))

    def looked(self, entries: list[Entry]) -> None:
        self.on_look(entries)

    def left(self, entries: list[Entry], *, cancelled: bool) -> None:
        self.ends.append(cancelled)


def _steps(recipe: str = "dtop/table1", *rows: str) -> list[PlannedStep]:
    return plan_steps(planned_runs(resolve_rows(load_recipe(recipe), rows, "smoke")))


def _fan_out(steps: list[PlannedStep], root: Path, place: Scripted, **request: Any) -> tuple[FanOut, Notes]:
    notes = Notes()
    asked = ClusterRequest(cluster="local", poll_seconds=0.01, **request)
    return FanOut(steps, RunStore(root), RuntimeSettings(data_dir="s"), asked, place, notes, None), notes


def _mode(steps: list[PlannedStep], mode: str) -> PlannedStep:
    return next(step for step in steps if step.settings.pruning.mode == mode)


def test_every_run_is_submitted_once_and_after_what_it_starts_from(tmp_path: Path) -> None:
    steps, place = _steps(), Scripted()
    fan_out, notes = _fan_out(steps, tmp_path, place)
    entries = fan_out.execute()
    assert [entry.state for entry in entries] == ["finished"] * 4
    assert failure(entries) is None
    assert sorted(place.submitted) == sorted(step.name for step in steps)
    baseline = _mode(steps, "baseline").name
    for mode in ("direct", "finetune"):
        name = _mode(steps, mode).name
        assert notes.states.index((name, "queued")) > notes.states.index((baseline, "finished"))
    job = place.jobs["0"][1]
    assert run_name(RunSettings.model_validate_json(job.settings), job.seed) == place.submitted[0]
    assert Path(job.root).is_absolute()
    assert RuntimeSettings.model_validate_json(job.runtime).data_dir == str(Path("s").absolute())
    again = Scripted()
    assert [entry.reused for entry in _fan_out(steps, tmp_path, again)[0].execute()] == [True] * 4
    assert again.submitted == []


def test_no_more_jobs_at_a_time_than_there_is_room_for(tmp_path: Path) -> None:
    place = Scripted(capacity=2)
    _fan_out(_steps("dit/table6"), tmp_path, place)[0].execute()
    assert (len(place.submitted), place.most) == (3, 2)


@pytest.mark.parametrize("end", [says(4, "stopped in epoch 1"), dies("PREEMPTED"), dies("TIMEOUT"), dies("NODE_FAIL")])
def test_an_interrupted_job_goes_on_even_if_none_is_restarted(end: Act, tmp_path: Path) -> None:
    (step,) = _steps("dit/table6", "static")
    place = Scripted(acts={step.name: [end, end]})
    entries = _fan_out([step], tmp_path, place, restarts=0)[0].execute()
    assert entries[0].state == "finished"
    assert len(place.submitted) == 3


def test_a_run_that_is_only_ever_interrupted_is_given_up(tmp_path: Path) -> None:
    (step,) = _steps("dit/table6", "static")
    place = Scripted(acts={step.name: [dies("TIMEOUT")] * 99})
    (entry,) = _fan_out([step], tmp_path, place)[0].execute()
    assert (entry.state, entry.exit_code, len(place.submitted)) == ("failed", 4, MOST_STALLS)
    assert "--time-min" in entry.message


def test_a_crashed_job_is_restarted_so_often_and_no_more(tmp_path: Path) -> None:
    (step,) = _steps("dit/table6", "static")
    place = Scripted(acts={step.name: [dies(), dies("FAILED")]})
    assert _fan_out([step], tmp_path / "twice", place, restarts=2)[0].execute()[0].state == "finished"
    place = Scripted(acts={step.name: [dies()] * 99})
    log = job_folder(tmp_path / "ever", step.name) / "1_0_log.out"
    log.parent.mkdir(parents=True)
    log.write_text("begin\nIllegal instruction\n\n", encoding="utf-8")
    (entry,) = _fan_out([step], tmp_path / "ever", place, restarts=1)[0].execute()
    assert (entry.state, entry.exit_code, entry.log) == ("failed", 5, log)
    assert entry.message == "crashed 2 times: Illegal instruction"


@pytest.mark.parametrize(("code", "words"), [(2, "no such model"), (3, "no weights"), (5, "the loss became nan")])
def test_a_users_mistake_is_told_and_not_tried_again_while_others_finish(code: int, words: str, tmp_path: Path) -> None:
    steps = _steps()
    place = Scripted(acts={_mode(steps, "baseline").name: [says(code, words)]})
    entries = _fan_out(steps, tmp_path, place)[0].execute()
    found = {entry.step.settings.pruning.mode: entry for entry in entries}
    assert (found["baseline"].state, found["baseline"].message) == ("failed", words)
    assert found["retrain"].state == "finished"
    for mode in ("direct", "finetune"):
        assert (found[mode].state, found[mode].exit_code) == ("failed", code)
        assert found["baseline"].step.name in found[mode].message
    assert len(place.submitted) == 2
    error = failure(entries)
    assert error is not None
    assert (error.exit_code, error.message[:20]) == (code, "3 of 4 runs failed: ")


@pytest.mark.parametrize(("word", "code"), [("CANCELLED", 4), ("OUT_OF_MEMORY", 5)])
def test_cancelled_jobs_and_those_out_of_memory_stay_down(word: str, code: int, tmp_path: Path) -> None:
    (step,) = _steps("dit/table6", "static")
    place = Scripted(acts={step.name: [says(4, "stopped", word)]})
    (entry,) = _fan_out([step], tmp_path, place)[0].execute()
    assert (entry.state, entry.exit_code, len(place.submitted)) == ("failed", code, 1)


def test_a_run_that_another_process_works_on_is_waited_for(tmp_path: Path) -> None:
    (step,) = _steps("dit/table6", "static")
    place, store = Scripted(), RunStore(tmp_path)
    fan_out, notes = _fan_out([step], tmp_path, place)
    folder = store.begin(step.settings, step.seed)

    def publish(entries: list[Entry]) -> None:
        if entries[0].state == "held":
            folder.publish(small_record(step.settings, step.seed))

    notes.on_look = publish
    (entry,) = fan_out.execute()
    assert [state for _, state in notes.states] == ["held", "finished"]
    assert (entry.state, place.submitted) == ("finished", [])


def test_a_job_of_an_earlier_command_is_taken_over(tmp_path: Path) -> None:
    (step,) = _steps("dit/table6", "static")
    place = Scripted()
    job = RunJob(step.settings.model_dump_json(), "{}", 0, str(tmp_path), str(tmp_path / OUTCOME_FILE), [], None)
    place.jobs["7"], place.left = (step.name, job), {step.name: "7"}
    (entry,) = _fan_out([step], tmp_path, place)[0].execute()
    assert (entry.state, entry.job_id, place.submitted) == ("finished", "7", [])


@pytest.mark.parametrize("cancel", [False, True])
def test_ctrl_c_leaves_the_jobs_or_cancels_them(cancel: bool, tmp_path: Path) -> None:
    steps, place = _steps("dit/table6"), Scripted(capacity=2)
    fan_out, notes = _fan_out(steps, tmp_path, place, cancel_on_exit=cancel)
    notes.on_look = lambda entries: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(InterruptedRunError):
        fan_out.execute()
    assert notes.ends == [cancel]
    assert place.cancelled == (["0", "1"] if cancel else [])
