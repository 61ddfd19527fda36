"""Where words go: data to standard output, talk to standard error; rich on a terminal, plain in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from dit_bench.cli.several import is_first_to_fail, is_main

if TYPE_CHECKING:
    from rich.console import Console


def out_console() -> Console:
    """The rich console on standard output, for data that people look at."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False)


def talk_console() -> Console:
    """The rich console on standard error, for progress and messages."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)


def print_json(data: Any) -> None:
    """Print data as JSON on standard output."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn by rich on a terminal, tab-separated with a line of headings in a pipe."""
    if not sys.stdout.isatty():
        for row in (headings, *rows):
            sys.stdout.write("\t".join(row) + "\n")
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD)
    for row in rows:
        # Text, not str: brackets in recipes are no markup.
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    out_console().print(table)


def say(message: str) -> None:
    """Tell the user something on standard error, in one line; of several processes the main one does."""
    if not is_main():
        return
    _line(sys.stderr, "", message)


def say_error(message: str) -> None:
    """Tell the user what went wrong on standard error, in one line; of several processes the first one does."""
    if not is_first_to_fail():
        return
    _line(sys.stderr, "error: ", message)


def _line(stream: TextIO, label: str, message: str) -> None:
    words = " ".join(message.split())
    # Talk that nobody can hear, on a closed terminal or a full disk, neither ends the work nor changes its exit code.
    with suppress(OSError):
        if label and stream.isatty():
            from rich.text import Text

            talk_console().print(Text.assemble((label, "bold red"), words), soft_wrap=True)
        else:
            stream.write(f"{label}{words}\n")
            stream.flush()
