"""The outcome of a check for a terminal, a pipe, a pull request and a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dit_bench.report.check_result import (
    MEANINGS,
    CheckedBaseline,
    CheckLine,
    CheckVerdict,
    fails,
    summary,
    tally,
)
from dit_bench.report.render_markdown import escape

HEADINGS = ("row", "seeds", "metric", "baseline", "now", "allowed", "verdict")
MOST_LINES_HELD = 80
"""Of a baseline with more figures than this, those that hold are left out, unless all are asked for."""
STEP_SUMMARY_BYTES = 1024 * 1024
"""What GitHub takes as the summary of one step."""
JSON_SCHEMA_VERSION = 1
_STYLES: dict[CheckVerdict, str] = {
    "holds": "green",
    "better": "cyan",
    "undecided": "yellow",
    "new": "yellow",
    "not compared": "yellow",
    "regression": "bold red",
    "changed": "bold red",
    "missing": "bold red",
}


def shown_lines(baseline: CheckedBaseline, everything: bool = False) -> list[CheckLine]:
    """The lines that people are shown: all, or of a long list those that do not hold."""
    lines = list(baseline.lines)
    if everything or len(lines) <= MOST_LINES_HELD:
        return lines
    return [line for line in lines if line.verdict != "holds"]


def rich_check(checked: Sequence[CheckedBaseline], *, everything: bool = False, strict: bool = False) -> Group:
    """Tables for a terminal; what does not hold is explained below its table."""
    parts: list[RenderableType] = []
    for baseline in checked:
        lines = shown_lines(baseline, everything)
        parts.append(Text.assemble((baseline.title, "bold"), (f"  {baseline.file}", "dim")))
        if lines:
            grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
            for heading in HEADINGS:
                grid.add_column(heading, overflow="fold", justify="right" if heading in ("baseline", "now") else "left")
            for line in lines:
                *cells, verdict = check_cells(line)
                grid.add_row(*map(Text, cells), Text(verdict, style=_STYLES[line.verdict]))
            parts.append(grid)
        parts += [Text(note, style=_STYLES[line.verdict]) for line, note in _notes(lines)]
        parts += [Text(_held(baseline, lines), style="dim"), Text()]
    parts.append(Text(summary(checked, strict), style="bold"))
    return Group(*parts)


def check_cells(line: CheckLine) -> tuple[str, ...]:
    """One line under `HEADINGS`."""
    seeds = "" if line.seeds is None else str(line.seeds)
    return line.row, seeds, line.metric, line.baseline, line.now, line.allowed, line.verdict


def markdown_check(
    checked: Sequence[CheckedBaseline],
    *,
    everything: bool = False,
    strict: bool = False,
    most_bytes: int | None = None,
) -> str:
    """The outcome as a comment on a pull request: what fails first, then the tables.

    With `most_bytes` of UTF-8, tables end early where they would not fit, and say so.
    """
    failed = [(baseline, line) for baseline in checked for line in baseline.failed(strict)]
    blocks = [f"### dit-bench check: {'failed' if failed else 'passed'}", f"{escape(summary(checked, strict))}."]
    if failed:
        blocks.append(
            "\n".join(f"- **{line.verdict}** {escape(_statement(line))} (`{base.file}`)" for base, line in failed)
        )
    head = ["| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
    for baseline in checked:
        lines = shown_lines(baseline, everything)
        table = [*head, *("| " + " | ".join(map(escape, check_cells(line))) + " |" for line in lines)] if lines else []
        notes = [f"- {escape(note)}" for line, note in _notes(lines) if not fails(line.verdict, strict)]
        texts = [f"**{escape(baseline.title)}** (`{baseline.file}`)", "\n".join(table), "\n".join(notes)]
        blocks += [text for text in (*texts, escape(_held(baseline, lines))) if text]
    return shortened("\n\n".join(blocks) + "\n", most_bytes)


def shortened(text: str, most_bytes: int | None) -> str:
    """Text of so many bytes of UTF-8 at most, cut at the end of a line; a cut is said in the last one."""
    if most_bytes is None or len(text.encode()) <= most_bytes:
        return text
    notice = "\n\nCut here: the rest does not fit. `--markdown FILE`, `--junit FILE` and `--json` have everything.\n"
    room = max(0, most_bytes - len(notice.encode()))
    cut = text.encode()[:room].decode(errors="ignore").rpartition("\n")[0]
    return (cut + notice).encode()[:most_bytes].decode(errors="ignore")


def json_check(checked: Sequence[CheckedBaseline], strict: bool = False) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "schema_version": JSON_SCHEMA_VERSION,
        "passed": not any(baseline.failed(strict) for baseline in checked),
        "strict": strict,
        "verdicts": tally(checked),
        "baselines": [
            {
                "file": baseline.file,
                "title": baseline.title,
                "figures": [{**vars(line), "fails": fails(line.verdict, strict)} for line in baseline.lines],
            }
            for baseline in checked
        ],
    }


def notes_of(baseline: CheckedBaseline, everything: bool = False) -> list[str]:
    """What is said about a baseline besides its table: why lines do not hold, and how many are not shown."""
    lines = shown_lines(baseline, everything)
    held = _held(baseline, lines)
    return [*(note for _, note in _notes(lines)), *([f"{baseline.file}: {held}"] if held else [])]


def _notes(lines: Sequence[CheckLine]) -> list[tuple[CheckLine, str]]:
    return [(line, f"{line.verdict}: {_statement(line)}") for line in lines if line.verdict != "holds"]


def _statement(line: CheckLine) -> str:
    return f"{line.row}, {line.metric}: {line.note or MEANINGS[line.verdict]}"


def _held(baseline: CheckedBaseline, shown: Sequence[CheckLine]) -> str:
    left_out = len(baseline.lines) - len(shown)
    return f"{left_out} figures that hold are not shown; --all shows them." if left_out else ""
