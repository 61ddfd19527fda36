"""Spreads the runs of a command over jobs, each run its own, and brings all of them to an end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dit_bench.engine.cluster.entry import ACTIVE, Entry, FanOutReporter, last_words
from dit_bench.engine.cluster.job import RunJob
from dit_bench.engine.cluster.outcome import read_outcome
from dit_bench.engine.cluster.request import POLL_SECONDS, ClusterRequest
from dit_bench.engine.cluster.slurm_queue import CANCELLED, ENDED_BY_CLUSTER, OUT_OF_MEMORY, JobState
from dit_bench.engine.cluster.submission import OUTCOME_FILE, Submitter, job_folder, log_file
from dit_bench.engine.interrupt import stop_requests
from dit_bench.errors import BenchError, InterruptedRunError
from dit_bench.recipes.settings import RuntimeSettings
from dit_bench.runs.plan import PlannedStep, Stand, look_up
from dit_bench.runs.read import PARTIAL_SUFFIX
from dit_bench.runs.store import RunStore
from dit_bench.runs.unfinished import read_progress

MOST_STALLS = 3
"""So often in a row may a run be interrupted before it has got on."""
_SLICE_SECONDS = 0.1


@dataclass
class FanOut:
    """The runs of one command as jobs; `execute` returns when every run is finished or has failed."""

    steps: Sequence[PlannedStep]
    store: RunStore
    runtime: RuntimeSettings
    request: ClusterRequest
    submitter: Submitter
    reporter: FanOutReporter
    job_reporter: Any
    """Watches the training inside a job and writes its log; has to be picklable."""
    entries: list[Entry] = field(default_factory=list)

    def execute(self) -> list[Entry]:
        """Submit what is open, restart what was interrupted, and wait; finished runs are found and stay as they are.

        A run whose weights another one starts from is finished before that one is submitted. Raises
        InterruptedRunError when asked to stop; the jobs then go on, unless `request.cancel_on_exit`.
        """
        with stop_requests() as should_stop:
            self.entries = [Entry(step) for step in self.steps]
            for entry in self.entries:
                self._begin(entry)
            try:
                self._until_closed(should_stop)
            except (KeyboardInterrupt, BenchError):
                self._leave()
                raise
        return self.entries

    def _until_closed(self, should_stop: Callable[[], bool]) -> None:
        poll_seconds = self.request.poll_seconds or POLL_SECONDS[self.request.cluster]
        while True:
            self._look()
            self._submit_ready()
            self.reporter.looked(self.entries)
            if all(entry.closed for entry in self.entries):
                return
            until = time.monotonic() + poll_seconds
            while time.monotonic() < until:
                if should_stop():
                    raise InterruptedRunError("the watch was ended", remedy="the same command takes it up again")
                time.sleep(_SLICE_SECONDS)

    def _begin(self, entry: Entry) -> None:
        """Where an entry stands before anything is submitted."""
        stand = look_up(entry.step, self.store)
        if stand.name == "found":
            entry.run, entry.reused = stand.run, True
            self._change(entry, "finished")
            return
        job_id = self.submitter.left_behind(entry.step.name)
        if job_id is not None:
            entry.job_id, entry.log = job_id, log_file(self.store.root, entry.step.name, job_id)
            entry.message = "submitted before"
            self._change(entry, "queued")
        elif stand.name == "held":
            self._hold(entry, stand)
        elif self._parent(entry) is not None:
            self._change(entry, "waiting")

    def _look(self) -> None:
        active = [entry for entry in self.entries if entry.state in ACTIVE]
        states = self.submitter.look([entry.job_id for entry in active]) if active else {}
        for entry in active:
            state = states[entry.job_id]
            if state.name == "ended":
                self._ended(entry, state)
            elif state.name != entry.state:
                self._change(entry, state.name)
        for entry in self.entries:
            if entry.state == "held":
                self._look_at_held(entry)
            if entry.state == "waiting":
                self._look_at_parent(entry)

    def _look_at_held(self, entry: Entry) -> None:
        stand = look_up(entry.step, self.store)
        if stand.name == "found":
            entry.run = stand.run
            self._change(entry, "finished")
        elif stand.name != "held":
            entry.message = ""
            self._change(entry, "ready" if self._parent(entry) is None else "waiting")

    def _look_at_parent(self, entry: Entry) -> None:
        before = self._parent(entry)
        if before is None or before.state == "finished":
            self._change(entry, "ready")
        elif before.state == "failed":
            self._fail(entry, before.exit_code, f"starts from {before.step.name}, which failed")

    def _parent(self, entry: Entry) -> Entry | None:
        name = entry.step.before
        return next((other for other in self.entries if other.step.name == name), None)

    def _submit_ready(self) -> None:
        free = self.submitter.capacity
        active = sum(entry.state in ACTIVE for entry in self.entries)
        for entry in self.entries:
            if entry.state == "ready" and (free is None or active < free):
                self._submit(entry)
                active += 1

    def _submit(self, entry: Entry) -> None:
        name, root = entry.step.name, self.store.root.absolute()
        progress = read_progress(self.store.root / f"{name}{PARTIAL_SUFFIX}")
        entry.updates = progress.updates if progress else 0
        data_dir = self.runtime.data_dir
        threads = self.runtime.threads or self.request.cpus
        runtime = self.runtime.model_copy(update={"threads": threads, "data_dir": data_dir and _absolute(data_dir)})
        outcome = job_folder(root, name) / OUTCOME_FILE
        outcome.unlink(missing_ok=True)
        job = RunJob(
            settings=entry.step.settings.model_dump_json(),
            runtime=runtime.model_dump_json(),
            seed=entry.step.seed,
            root=str(root),
            outcome_file=str(outcome),
            argv=list(sys.argv),
            reporter=self.job_reporter,
        )
        entry.job_id = self.submitter.submit(name, job)
        entry.log = log_file(self.store.root, name, entry.job_id)
        self._change(entry, "queued")

    def _ended(self, entry: Entry, state: JobState) -> None:
        """Judge a job that is over by what it left: a finished run, an outcome, the cluster's word, or nothing."""
        stand = look_up(entry.step, self.store)
        if stand.name == "found":
            entry.run = stand.run
            self._change(entry, "finished")
            return
        if stand.name == "held":
            self._hold(entry, stand)
            return
        outcome = read_outcome(job_folder(self.store.root, entry.step.name) / OUTCOME_FILE)
        updates = stand.progress.updates if stand.progress else 0
        if state.word == CANCELLED:
            self._fail(entry, InterruptedRunError.exit_code, "its job was cancelled; the same command takes it up")
        elif state.word == OUT_OF_MEMORY:
            self._fail(entry, BenchError.exit_code, "out of memory: ask for more with --mem-gb")
        elif (outcome is not None and outcome.interrupted) or state.word in ENDED_BY_CLUSTER:
            entry.stalls = 0 if updates > entry.updates else entry.stalls + 1
            if entry.stalls >= MOST_STALLS:
                message = f"interrupted {MOST_STALLS} times before it got on: give jobs more time with --time-min"
                self._fail(entry, InterruptedRunError.exit_code, message)
            else:
                self._restart(entry, f"interrupted ({state.word.lower() or 'asked to stop'})")
        elif outcome is not None and outcome.expected and outcome.exit_code:
            self._fail(entry, outcome.exit_code, outcome.message)
        elif entry.crashes < self.request.restarts:
            entry.crashes += 1
            words = last_words(entry.log, outcome)
            self._restart(entry, f"crashed: {words} (restart {entry.crashes} of {self.request.restarts})")
        else:
            times = f"crashed {entry.crashes + 1} times: " if entry.crashes else "crashed: "
            self._fail(entry, BenchError.exit_code, times + last_words(entry.log, outcome))

    def _restart(self, entry: Entry, why: str) -> None:
        entry.message = why
        self._change(entry, "ready")

    def _hold(self, entry: Entry, stand: Stand) -> None:
        entry.message = f"being worked on by process {stand.holder}"
        self._change(entry, "held")

    def _fail(self, entry: Entry, exit_code: int, message: str) -> None:
        entry.exit_code, entry.message = exit_code, message
        self._change(entry, "failed")

    def _change(self, entry: Entry, state: Any) -> None:
        entry.state = state
        self.reporter.changed(entry)

    def _leave(self) -> None:
        cancelled = self.request.cancel_on_exit
        if cancelled:
            for entry in self.entries:
                if entry.state in ACTIVE:
                    self.submitter.cancel(entry.job_id)
        self.reporter.left(self.entries, cancelled=cancelled)


def _absolute(folder: str) -> str:
    return str(Path(folder).absolute())


def failure(entries: Sequence[Entry]) -> BenchError | None:
    """The error that a command ends with whose runs did not all finish, with the exit code of the first that failed."""
    failed = [entry for entry in entries if entry.state == "failed"]
    if not failed:
        return None
    names = ", ".join(entry.step.name for entry in failed)
    error = BenchError(f"{len(failed)} of {len(entries)} runs failed: {names}", remedy="the same command tries again")
    error.exit_code = failed[0].exit_code
    return error
