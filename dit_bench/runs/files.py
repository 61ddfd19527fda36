"""The files of a run's folder: how large they are, and whether the weights are still those that were recorded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dit_bench.errors import DataError
from dit_bench.runs.read import FinishedRun

WeightsState = Literal["match", "differ", "missing", "not recorded"]
_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class RunFile:
    """One file of a run."""

    name: str
    """Path from the run's folder on."""
    size_bytes: int


def run_files(folder: Path) -> list[RunFile]:
    """All files below a run's folder, sorted by name; raises DataError when it cannot be read."""
    try:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return [RunFile(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None


def file_sha256(file: Path) -> str:
    """SHA-256 of a file's content; raises DataError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as handle:
            while block := handle.read(_BYTES_AT_ONCE):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def weights_state(run: FinishedRun) -> WeightsState:
    """Whether the weights on disk are those of the record, to the last bit."""
    if not run.weights_file.is_file():
        return "missing"
    recorded = run.record.provenance.weights_sha256
    if recorded is None:
        return "not recorded"
    return "match" if file_sha256(run.weights_file) == recorded else "differ"
