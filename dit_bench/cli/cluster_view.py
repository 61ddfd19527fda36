"""Jobs as they are watched: a live table on a terminal, one line per change in a pipe; on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dit_bench.cli.console import say, say_error, talk_console
from dit_bench.cli.progress import PlainReporter

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from dit_bench.engine.cluster.entry import Entry
    from dit_bench.errors import BenchError

STYLES = {"finished": "green", "failed": "red", "running": "cyan", "held": "yellow"}


class PlainFanOutReporter:
    """One line per change."""

    def __init__(self, logs: Path):
        self.logs = logs
        self.failure: BenchError | None = None
        """What the command ends with, after its table, if a run failed."""
        self._told: dict[str, str] = {}
        self._single = PlainReporter()
        say(f"logs     {logs}")

    def changed(self, entry: Entry) -> None:
        """Say what became of a run."""
        name = entry.step.name
        if entry.state == "finished" and entry.run is not None:
            (self._single.run_found if entry.reused else self._single.run_finished)(entry.run)
        elif entry.state == "failed":
            say_error(f"{name}: {entry.message}{_log(entry)}")
        elif entry.state == "ready":
            if entry.message:
                say(f"restart  {name}: {entry.message}{_log(entry)}")
        elif self._told.get(name) != f"{entry.state} {entry.job_id}":
            job = f" (job {entry.job_id})" if entry.job_id and entry.state != "held" else ""
            why = f": {entry.message}" if entry.state == "held" else ""
            why = f": starts from {entry.step.before}" if entry.state == "waiting" else why
            say(f"{entry.state:8} {name}{job}{why}")
            self._told[name] = f"{entry.state} {entry.job_id}"

    def looked(self, entries: list[Entry]) -> None:
        """Nothing: changes were told."""

    def left(self, entries: list[Entry], *, cancelled: bool) -> None:
        """Say what goes on by itself, and what does not."""
        running = sum(entry.state == "running" for entry in entries)
        queued = sum(entry.state == "queued" for entry in entries)
        later = sum(entry.state in ("ready", "waiting") for entry in entries)
        if cancelled:
            say(f"cancelled {running + queued} jobs; what they saved is kept")
        elif running + queued:
            say(
                f"{running} running and {queued} queued jobs go on without this command"
                + (f"; {later} runs are not submitted yet" if later else "")
                + "; the same command watches them again (--cancel-on-exit would have cancelled them)"
            )


class LiveFanOutReporter(PlainFanOutReporter):
    """The same lines, and below them a table of all runs that are not finished."""

    def __init__(self, logs: Path, live: Live):
        super().__init__(logs)
        self.live = live
        self.since: dict[str, float] = {}

    def changed(self, entry: Entry) -> None:
        """See `PlainFanOutReporter`; what the table shows needs no line."""
        self.since[entry.step.name] = time.monotonic()
        if entry.state in ("finished", "failed") or (entry.state == "ready" and entry.message):
            super().changed(entry)

    def looked(self, entries: list[Entry]) -> None:
        """Draw the table."""
        self.live.update(self.table(entries))

    def left(self, entries: list[Entry], *, cancelled: bool) -> None:
        """Take the table away."""
        self.live.stop()
        super().left(entries, cancelled=cancelled)

    def table(self, entries: list[Entry]) -> Table:
        """What is open, and how far it is."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        counts = {state: sum(entry.state == state for entry in entries) for state in STYLES}
        title = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "nothing begun"
        table = Table("rows", "seed", "run", "state", "job", "epochs", "since", title=title, box=SIMPLE_HEAD)
        for entry in entries:
            if entry.state == "finished":
                continue
            step = entry.step
            cells = (
                ", ".join(step.row_ids) or "start for others",
                str(step.seed),
                step.name,
                entry.state,
                entry.job_id,
                self._epochs(entry),
                f"{(time.monotonic() - self.since.get(step.name, time.monotonic())) / 60:.0f} min",
            )
            table.add_row(*(Text(cell, overflow="fold") for cell in cells), style=STYLES.get(entry.state, ""))
        return table

    def _epochs(self, entry: Entry) -> str:
        """How many epochs the run's own log holds."""
        from dit_bench.runs.read import EPOCHS_FILE, PARTIAL_SUFFIX

        file = self.logs.parent / f"{entry.step.name}{PARTIAL_SUFFIX}" / EPOCHS_FILE
        try:
            return str(len(file.read_bytes().splitlines()))
        except OSError:
            return ""


def _log(entry: Entry) -> str:
    return f" — log: {entry.log}" if entry.log is not None else ""


@contextmanager
def watching(logs: Path) -> Iterator[PlainFanOutReporter]:
    """A reporter that suits standard error."""
    if not sys.stderr.isatty():
        yield PlainFanOutReporter(logs)
        return
    from rich.live import Live

    with Live(console=talk_console(), refresh_per_second=4, transient=True) as live:
        yield LiveFanOutReporter(logs, live)
