"""How a job says in a file how it ended, for whoever watches it, also after the watcher was started anew."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dit_bench.errors import InterruptedRunError
from dit_bench.runs.atomic import write_text


@dataclass(frozen=True)
class Outcome:
    """The end of a job that could still speak."""

    exit_code: int
    """As of the command line: 0 ok, 2 usage, 3 data, 4 interrupted, 5 internal."""
    message: str
    expected: bool
    """Whether it is a failure that a user causes, and that would come again."""

    @property
    def interrupted(self) -> bool:
        """Whether the job saved its state and goes on from it."""
        return self.exit_code == InterruptedRunError.exit_code


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Write it aside and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(outcome)) + "\n")


def read_outcome(path: Path) -> Outcome | None:
    """The outcome, or None as long as there is none."""
    try:
        return Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
