"""What training leaves behind as it goes: one JSON line per epoch, and TensorBoard events."""

from __future__ import annotations

import json
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from dit_bench.engine.checkpoint import Position
from dit_bench.runs.atomic import write_text


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
        """Append the epoch."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def last(self) -> dict[str, float]:
        """Figures of the last epoch."""
        return json.loads(self.path.read_text(encoding="utf-8").splitlines()[-1])


class TensorBoardLog:
    """The same figures as TensorBoard scalars."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.writer: SummaryWriter | None = None

    def started(self, position: Position, total_updates: int, epochs: int) -> None:
        """Open the event file; events of epochs that will be trained again are purged."""
        self.writer = SummaryWriter(str(self.folder), purge_step=position.epochs_logged + 1)

    def stepped(self, position: Position, loss: float) -> None:
        """Steps are not logged."""

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        """One scalar per figure."""
        assert self.writer is not None
        for name, value in metrics.items():
            if name != "epoch":
                self.writer.add_scalar(name, value, int(metrics["epoch"]))

    def close(self) -> None:
        """Flush and close the event file."""
        if self.writer is not None:
            self.writer.close()
