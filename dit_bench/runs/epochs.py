"""What a run noted down after each epoch of its training."""

from __future__ import annotations

import json

from dit_bench.errors import DataError
from dit_bench.runs.read import FinishedRun

EpochFigures = dict[str, float]
"""`epoch`, counted from 1, the means over the epoch's steps (`loss`, its terms) and the state at its end."""


def load_epochs(run: FinishedRun) -> list[EpochFigures]:
    """The epochs of a finished run in their order; raises DataError when the file is missing or damaged."""
    file = run.epochs_file
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        epochs = [{str(name): float(value) for name, value in json.loads(line).items()} for line in lines]
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}", remedy="run it again with --force") from None
    except (UnicodeDecodeError, ValueError, TypeError, AttributeError, RecursionError):
        raise DataError(
            f"{file}: damaged: not one JSON object of numbers per line", remedy="run it again with --force"
        ) from None
    if not epochs or any(epoch.get("epoch") != number for number, epoch in enumerate(epochs, start=1)):
        raise DataError(f"{file}: damaged: epochs are missing", remedy="run it again with --force")
    return epochs
