"""What lies there of a run that is not finished: how far its training came, and whether a process works on it."""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path

from dit_bench.runs.read import STATE_FILE
from dit_bench.runs.store import LOCKS_FOLDER

_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Progress:
    """How far an interrupted training came, as its saved state says."""

    epoch: int
    """Whole epochs."""
    updates: int
    images_seen: int
    seconds: float
    """Time spent on training so far."""


def read_progress(folder: Path) -> Progress | None:
    """Where the training in the folder of an unfinished run would go on; None if from its start.

    Only the counters are read, which stand before the tensors. A state that cannot be read counts as none: the run
    itself will say what is wrong with it.
    """
    try:
        with (folder / STATE_FILE).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(length) if length <= _LONGEST_HEADER else b""
        position = json.loads(json.loads(header)["__metadata__"]["state"])["position"]
        return Progress(
            int(position["epoch"]),
            int(position["updates"]),
            int(position["images_seen"]),
            float(position["seconds"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def working_process(root: Path, name: str) -> str | None:
    """The id of the process that holds a run of a results folder, `unknown` if it did not say; None if there is none.

    The question itself is put with a shared lock that is given back at once.
    """
    try:
        with (root / LOCKS_FOLDER / f"{name}.lock").open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "unknown"
    except OSError:
        return None
    return None
