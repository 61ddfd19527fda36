"""What every command that trains or evaluates hands down: where runs lie, on what they execute, who watches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dit_bench.engine.train import TrainingListener
from dit_bench.recipes.settings import RuntimeSettings
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore


class JobReporter(Protocol):
    """Who watches a sequence of runs; also gives the listener of each training."""

    def data_read(self, split: str, summary: str) -> None:
        """A split of a data set is ready; what is in it and what is left out, in one line."""
        ...

    def run_found(self, run: FinishedRun) -> None:
        """A finished run is used as it is."""
        ...

    def run_started(self, name: str, number: int, total: int) -> TrainingListener:
        """Run `number` of `total` starts; returns who watches its training."""
        ...

    def evaluating(self, done: int, total: int) -> None:
        """So many images of so many are evaluated."""
        ...

    def run_finished(self, run: FinishedRun) -> None:
        """A run is complete and stored."""
        ...

    def stop_requested(self) -> None:
        """The user asked to stop; the current step is being finished."""
        ...


@dataclass(frozen=True)
class JobContext:
    """What all runs of one command share."""

    store: RunStore
    runtime: RuntimeSettings
    reporter: JobReporter
    force: bool = False

    @property
    def cache_dir(self) -> Path | None:
        """Folder of the cached scenes; None is the default one."""
        return None if self.runtime.data_dir is None else Path(self.runtime.data_dir)
