"""The table as data: typed cells, columns and claims, from which every renderer starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dit_bench.report.inputs import ClaimSpec, RunSummary
from dit_bench.report.numbers import MISSING
from dit_bench.report.statistics import ClaimVerdict, Comparison, Interval

CellKind = Literal["label", "printed", "derived", "measured", "verdict", "runs", "missing"]
"""`printed` stands in the paper; `derived` was computed from printed figures; `measured` comes from runs."""

Section = Literal["static", "paths", "result", "further", "cost"]
"""Tables on paper are cut: what is counted without data, the fixed paths of routed rows, the comparison of runs with
the print, the other figures that are printed, and the cost of each row."""
SECTION_HEADINGS: dict[Section, str] = {
    "static": "Counted, without data or weights:",
    "paths": "Routed rows, GMACs (matrix products) of the paths that no image decides:",
    "result": "Runs:",
    "further": "Other printed figures:",
    "cost": "Cost of each row:",
}


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown and, apart, what it stands for in full precision.

    `value` is a number, a verdict, a label or run ids; `sd`, `interval` (95 %) and `n` refer to seeds. `detail` is
    shown after or below `text`.
    """

    text: str
    value: float | str | tuple[str, ...] | None
    kind: CellKind
    sd: float | None = None
    interval: Interval | None = None
    n: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Column:
    """One column. Neighbours of the same `group` share a heading; the highest `priority` number is dropped first.

    `spread` says that its cells carry SD, interval and number of seeds.
    """

    key: str
    group: str
    name: str
    section: Section
    priority: int
    spread: bool = False

    @property
    def heading(self) -> str:
        """Group and name on one line."""
        return f"{self.group}, {self.name}" if self.group and self.name else self.group or self.name


@dataclass(frozen=True)
class TableRow:
    """One row: a cell for each column key."""

    id: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its verdict; `comparison` is higher - lower, None without runs of both rows."""

    spec: ClaimSpec
    verdict: ClaimVerdict
    comparison: Comparison | None
    statement: str


@dataclass(frozen=True)
class Table:
    """A finished table. `notes` explain its conventions, one sentence or two each."""

    title: str
    caption: str
    notes: tuple[str, ...]
    profile: str
    comparable: bool
    command: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    claims: tuple[ClaimResult, ...]
    runs: tuple[RunSummary, ...]
    source: Mapping[str, Any] = field(default_factory=dict)
    """What the cells come from, as plain data: see `dit_bench.report.table.table_source`."""
    paths_heading: str = SECTION_HEADINGS["paths"]
    """Above the fixed paths of routed rows, or what stands for them."""

    def heading(self, section: Section) -> str:
        """What stands above a section."""
        return self.paths_heading if section == "paths" else SECTION_HEADINGS[section]

    def section(self, section: Section) -> tuple[Column, ...]:
        """The columns of one section, the row's label first."""
        return tuple(column for column in self.columns if column.section == section or column.key == "label")

    @property
    def sections(self) -> list[Section]:
        """The sections that the table has, in reading order."""
        present = {column.section for column in self.columns if column.key != "label"}
        return [section for section in SECTION_HEADINGS if section in present]

    def rows_in(self, section: Section) -> list[TableRow]:
        """The rows of one section: all of them, but only routed rows among the fixed paths."""
        if section != "paths":
            return list(self.rows)
        keys = [column.key for column in self.columns if column.section == "paths"]
        return [row for row in self.rows if any(row.cells[key].kind != "missing" for key in keys)]


def missing(text: str = MISSING) -> Cell:
    """A cell without a value."""
    return Cell(text, None, "missing")
