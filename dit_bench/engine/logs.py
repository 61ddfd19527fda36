"""What training leaves behind as it goes: one JSON line per epoch, and TensorBoard events."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter

from dit_bench.engine.checkpoint import Position
from dit_bench.runs.atomic import write_text, writing_to


class EpochLog:
    """`epochs.jsonl`: one object per finished epoch; after a resume exactly the epochs that the state knows of."""

    def __init__(self, path: Path):
        self.path = path

    def started(self, position: Position, total_updates: int, epochs: int) -> None:
        """Drop lines of epochs that the saved state does not contain: they will be written again."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        write_text(self.path, "".join(f"{line}\n" for line in lines[: position.epochs_logged]))

    def stepped(self, position: Position, loss: float) -> None:
        """Steps are not logged."""

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        """Append the epoch. Raises DataError if the disk refuses."""
        with writing_to(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def last(self) -> dict[str, float]:
        """Figures of the last epoch."""
        return json.loads(self.path.read_text(encoding="utf-8").splitlines()[-1])


class TensorBoardLog:
    """The same figures as TensorBoard scalars.

    Written here and not by a `SummaryWriter`, whose thread can neither report a full disk in one line nor promise that
    an epoch is in its file before the state that says so.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.writer: RecordWriter | None = None

    def started(self, position: Position, total_updates: int, epochs: int) -> None:
        """Open an event file; events of epochs that will be trained again are purged. DataError if the disk refuses."""
        name = f"events.out.tfevents.{time.time():020.9f}.{platform.node()}.{os.getpid()}"
        step = position.epochs_logged + 1
        with writing_to(self.folder):
            self.folder.mkdir(exist_ok=True)
            self.writer = RecordWriter((self.folder / name).open("ab", buffering=0))
        self._write(Event(wall_time=time.time(), step=step, file_version="brain.Event:2"))
        self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def stepped(self, position: Position, loss: float) -> None:
        """Steps are not logged."""

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        """One scalar per figure. Raises DataError if the disk refuses."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items() if name != "epoch"]
        self._write(Event(wall_time=time.time(), step=int(metrics["epoch"]), summary=Summary(value=values)))

    def close(self) -> None:
        """Close the event file."""
        if self.writer is not None:
            self.writer.close()

    def _write(self, event: Event) -> None:
        assert self.writer is not None
        with writing_to(self.folder):
            self.writer.write(event.SerializeToString())
