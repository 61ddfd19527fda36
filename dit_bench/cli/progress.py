"""Progress of runs on standard error: bars with time and loss on a terminal, one line per epoch in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dit_bench.cli.console import say, talk_console
from dit_bench.cli.several import is_main

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from dit_bench.engine.checkpoint import Position
    from dit_bench.runs.read import FinishedRun


class PlainReporter:
    """One line per event; watches jobs and their training."""

    def __init__(self) -> None:
        self.epochs = 0

    def data_read(self, split: str, summary: str) -> None:
        """Say what is in a split."""
        say(f"data     {split}: {summary}")

    def run_found(self, run: FinishedRun) -> None:
        """Say that a run is reused."""
        say(f"found    {run.path.name}")

    def run_started(self, name: str, number: int, total: int) -> PlainReporter:
        """Say which run starts."""
        say(f"running  {name} ({number} of {total})")
        return self

    def started(self, position: Position, total_updates: int, epochs: int) -> None:
        """Say where an interrupted training goes on."""
        self.epochs = epochs
        if position.updates:
            say(f"resuming in epoch {position.epoch + 1} of {epochs}, step {position.step + 1}")

    def stepped(self, position: Position, loss: float) -> None:
        """Nothing: a line per epoch is enough."""

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        """Loss and, for routed networks, cost of the epoch."""
        cost = metrics.get("sampled_cost_ratio")
        shown = f", cost {cost:.2f} sampled {metrics['deterministic_cost_ratio']:.2f} hard" if cost is not None else ""
        say(f"  epoch {metrics['epoch']:.0f}/{self.epochs}: loss {metrics['task_loss']:.3f}{shown}")

    def evaluating(self, done: int, total: int) -> None:
        """Nothing: evaluation is short beside training."""

    def run_finished(self, run: FinishedRun) -> None:
        """Say what came out."""
        from dit_bench.recipes.metrics import MAIN_METRIC_NAMES, MAIN_METRICS, base_name

        metrics = run.record.metrics
        base_gmacs = metrics.get("base_gmacs")
        relative = (
            f" ({metrics['gmacs_mean'] / base_gmacs:.3f} of {base_name(run.record.settings)})" if base_gmacs else ""
        )
        metric = MAIN_METRICS[run.record.settings.task]
        reached = f"{MAIN_METRIC_NAMES[metric]} {metrics[metric]:.2f} %"
        say(f"finished {run.path.name}: {reached}, {metrics['gmacs_mean']:.4g} GMACs{relative}")

    def stop_requested(self) -> None:
        """Say that the wish was heard."""
        say("stopping after this step; Ctrl-C again stops at once")


class RichReporter(PlainReporter):
    """The same, with a live bar for the training at hand."""

    def __init__(self, progress: Progress):
        super().__init__()
        self.progress = progress
        self.task: TaskID | None = None
        self.title = ""

    def run_started(self, name: str, number: int, total: int) -> RichReporter:
        """Open a bar."""
        self.title = f"{name} ({number}/{total})"
        self._clear()
        self.task = self.progress.add_task(self.title, total=None, loss="")
        return self

    def started(self, position: Position, total_updates: int, epochs: int) -> None:
        """Set the length of the bar."""
        super().started(position, total_updates, epochs)
        if self.task is not None:
            self.progress.update(self.task, total=total_updates, completed=position.updates)

    def stepped(self, position: Position, loss: float) -> None:
        """Move the bar."""
        if self.task is not None:
            self.progress.update(self.task, completed=position.updates, loss=f"loss {loss:.3f}")

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        """The bar shows enough."""

    def evaluating(self, done: int, total: int) -> None:
        """Show how far evaluation is; by itself, without a training before it, it has a bar of its own."""
        if not self.title:
            if self.task is None:
                self.task = self.progress.add_task("evaluating", total=total, loss="")
            self.progress.update(self.task, completed=done)
            if done == total:
                self._clear()
        elif self.task is not None:
            self.progress.update(self.task, loss=f"evaluated {done} of {total}")

    def run_finished(self, run: FinishedRun) -> None:
        """Close the bar and say what came out."""
        self._clear()
        super().run_finished(run)

    def _clear(self) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None


@contextmanager
def reporting() -> Iterator[PlainReporter]:
    """A reporter that suits standard error: live on a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty() or not is_main():
        yield PlainReporter()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    with Progress(*columns, console=talk_console(), transient=True) as progress:
        yield RichReporter(progress)
