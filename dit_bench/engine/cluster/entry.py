"""One run of a command that is spread over jobs: how it stands, and what to tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from dit_bench.engine.cluster.outcome import Outcome
from dit_bench.runs.plan import PlannedStep
from dit_bench.runs.read import FinishedRun

EntryStateName = Literal["waiting", "ready", "queued", "running", "held", "finished", "failed"]
ACTIVE: tuple[EntryStateName, ...] = ("queued", "running")
CLOSED: tuple[EntryStateName, ...] = ("finished", "failed")


@dataclass
class Entry:
    """A run of the command, and its job."""

    step: PlannedStep
    state: EntryStateName = "ready"
    """`waiting`: for the run that it starts from. `ready`: to be submitted. `held`: another process works on it."""
    job_id: str = ""
    log: Path | None = None
    """Where its last job writes."""
    message: str = ""
    """Why it stands so: the process that holds it, why it was started again, how it failed."""
    exit_code: int = 0
    """Of a failed one."""
    run: FinishedRun | None = None
    reused: bool = False
    """Whether it was finished before the command began."""
    crashes: int = 0
    """Jobs that ended without a word."""
    stalls: int = 0
    """Jobs in a row that were interrupted before they got on."""
    updates: int = -1
    """Optimiser steps that were saved when its last job was submitted."""

    @property
    def closed(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in CLOSED


class FanOutReporter(Protocol):
    """Who watches the runs of a command."""

    def changed(self, entry: Entry) -> None:
        """An entry came into another state, or its job was started again."""
        ...

    def looked(self, entries: list[Entry]) -> None:
        """The cluster was asked about all jobs."""
        ...

    def left(self, entries: list[Entry], *, cancelled: bool) -> None:
        """The watch ends before the runs do; their jobs go on unless they were cancelled."""
        ...


def last_words(log: Path | None, outcome: Outcome | None) -> str:
    """Why a job failed: what it said itself, else the last line of its log."""
    if outcome is not None and outcome.message:
        return outcome.message
    try:
        with open(log or "", "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 8192))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "it left an empty log")
