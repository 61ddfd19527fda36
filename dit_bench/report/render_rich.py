"""A table for the terminal: as many columns as fit, the least important left out first, and said so."""

import re
import textwrap
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from dit_bench.report.cells import Cell, Column, Table, TableRow

_STYLES = {
    "match": "green",
    "reproduced": "green",
    "within noise": "cyan",
    "within one unit": "cyan",
    "undecided": "yellow",
    "differs": "red",
    "contradicted": "red",
    "no data": "dim",
}
_GAP = 2
"""Spaces that the terminal table puts around a column."""


def render_rich(table: Table, width: int) -> Group:
    """The table for a terminal of `width` columns, claims and notes below it.

    Columns that do not fit are dropped by priority and named; they stand in every other format. Verdicts are coloured
    and always spelt out.
    """
    parts: list[RenderableType] = [Text(table.caption), Text()]
    dropped: list[Column] = []
    for section in table.sections:
        columns = _fitting(table, table.section(section), width)
        dropped += [column for column in table.section(section) if column not in columns]
        if len(table.sections) > 2:
            parts.append(Text(table.heading(section), style="bold"))
        parts += [_grid(table, columns, table.rows_in(section)), Text()]
    if dropped:
        names = "; ".join(column.heading for column in dropped)
        parts.append(Text(f"Not shown in {width} columns: {names}.\n", style="dim"))
    if table.claims:
        parts += [Text("Claims of the paper", style="bold"), _claims(table), Text()]
    parts += [*(Text(f"· {note}", style="dim") for note in table.notes)]
    return Group(*parts)


def shorten_run_ids(run_ids: Sequence[str]) -> str:
    """Run ids cut to the hash of their settings and the seeds: `ab12cd34ef seed 0, 1, 2`."""
    seeds: dict[str, list[str]] = {}
    for run_id in run_ids:
        found = re.fullmatch(r"(?:.*-)?([^-]+)-seed(\d+(?:-r\d+)?)", run_id)
        short, seed = found.groups() if found else (run_id if len(run_id) <= 16 else f"…{run_id[-15:]}", "")
        seeds.setdefault(short, []).append(seed)
    return "\n".join(f"{short} seed {', '.join(group)}" if group[0] else short for short, group in seeds.items())


def _fitting(table: Table, columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit, chosen by priority; those of priority 0 always stay."""
    room, kept = width, set()
    for column in sorted(columns, key=lambda column: column.priority):
        needed = _width(table, column) + _GAP
        if needed <= room or column.priority == 0:
            kept.add(column.key)
            room -= needed
    return [column for column in columns if column.key in kept]


def _width(table: Table, column: Column) -> int:
    lines = [line for row in table.rows for line in _text(row.cells[column.key]).split("\n")]
    lines += _heading(table, column).split("\n")
    return max(cell_len(line) for line in lines)


def _heading(table: Table, column: Column) -> str:
    """Group and name below each other, broken between words where the cells leave no more room."""
    cells = [line for row in table.rows for line in _text(row.cells[column.key]).split("\n")]
    words = f"{column.group} {column.name}".replace("× ", "×\N{NO-BREAK SPACE}").split(" ")
    room = max(cell_len(line) for line in [*cells, *words])
    parts = [part for part in (column.group, column.name) if part]
    return "\n".join(line for part in parts for line in textwrap.wrap(part, room, break_on_hyphens=False))


def _text(cell: Cell) -> str:
    if isinstance(cell.value, tuple):
        return shorten_run_ids(cell.value)
    return f"{cell.text}\n{cell.detail}" if cell.detail else cell.text


def _grid(table: Table, columns: Sequence[Column], rows: Sequence[TableRow]) -> RichTable:
    grid = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        left = column.key in ("label", "runs") or column.name == "verdict"
        grid.add_column(_heading(table, column), justify="left" if left else "right", overflow="fold")
    for row in rows:
        cells = [row.cells[column.key] for column in columns]
        grid.add_row(*(Text(_text(cell), style=_style(cell)) for cell in cells))
    return grid


def _style(cell: Cell) -> str:
    if cell.kind == "verdict":
        return _STYLES[cell.text]
    return {"printed": "dim", "derived": "dim", "missing": "dim", "label": "bold"}.get(cell.kind, "")


def _claims(table: Table) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for claim in table.claims:
        verdict = Text(claim.verdict, style=_STYLES[claim.verdict])
        grid.add_row(verdict, Text.assemble(f"{claim.spec.text} ({claim.spec.source})\n", (claim.statement, "dim")))
    return grid
