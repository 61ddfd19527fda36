"""What a check finds: one line per row and metric, each with its verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

CheckVerdict = Literal["holds", "better", "undecided", "new", "not compared", "regression", "changed", "missing"]
VERDICTS: tuple[CheckVerdict, ...] = get_args(CheckVerdict)
FAILURES: frozenset[CheckVerdict] = frozenset({"regression", "changed", "missing"})
"""Verdicts that end a check with exit code 1: worse than allowed; other than it must be; not there."""
MEANINGS: dict[CheckVerdict, str] = {
    "holds": "equal, or within what is allowed",
    "better": "better than allowed: renew the baseline, so that it cannot be lost again unnoticed",
    "undecided": "beyond what is allowed, but so few seeds may differ so by chance: run more of them",
    "new": "not in the baseline: renew it",
    "not compared": "cannot be compared here",
    "regression": "worse than allowed",
    "changed": "must be equal and is not",
    "missing": "in the baseline, not here",
}


@dataclass(frozen=True)
class CheckLine:
    """One figure of one row beside its baseline."""

    row: str
    metric: str
    verdict: CheckVerdict
    seeds: int | None = None
    """Seeds compared; None where seeds have no part."""
    baseline: str = ""
    now: str = ""
    allowed: str = ""
    note: str = ""
    """Why, in one line, wherever it does not simply hold."""


@dataclass(frozen=True)
class CheckedBaseline:
    """One baseline file and what became of its figures."""

    file: str
    title: str
    lines: tuple[CheckLine, ...]

    def failed(self, strict: bool = False) -> list[CheckLine]:
        """Lines that fail a build."""
        return [line for line in self.lines if fails(line.verdict, strict)]


def fails(verdict: CheckVerdict, strict: bool = False) -> bool:
    """Whether a verdict fails a build; a strict check lets nothing pass but what holds."""
    return verdict != "holds" if strict else verdict in FAILURES


def tally(checked: Sequence[CheckedBaseline]) -> dict[CheckVerdict, int]:
    """How many lines have each verdict, in a fixed order; verdicts without lines are left out."""
    found = Counter(line.verdict for baseline in checked for line in baseline.lines)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}


def summary(checked: Sequence[CheckedBaseline], strict: bool = False) -> str:
    """The outcome in one line."""
    counts = tally(checked)
    parts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    total, failed = sum(counts.values()), sum(len(baseline.failed(strict)) for baseline in checked)
    state = f"{failed} of {total} figures fail" if failed else f"all {total} figures pass"
    return f"{state} ({parts})"
