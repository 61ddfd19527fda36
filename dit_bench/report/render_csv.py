"""A table as CSV for spreadsheets and data frames: plain numbers in full precision, one header line."""

import csv
import io
from collections.abc import Iterable

from dit_bench.report.cells import Cell, Table

RUN_SEPARATOR = ";"
_CLAIM_HEADER: str = "claim text source metric higher lower verdict difference sd low high p test n"


def render_csv(table: Table) -> str:
    """The rows, one line each.

    A column with a spread over seeds is followed by `<key>_sd`, `<key>_low`, `<key>_high` (95 % interval), `<key>_n`.
    Missing figures are empty; run ids are joined by semicolons. The claims are a table of their own:
    `render_claims_csv`.
    """
    header = ["row"]
    for column in table.columns:
        header.append(column.key)
        header += [f"{column.key}_{part}" for part in ("sd", "low", "high", "n") if column.spread]
    lines: list[list[str]] = [header]
    for row in table.rows:
        line = [row.id]
        for column in table.columns:
            cell = row.cells[column.key]
            line.append(_value(cell))
            line += _spread(cell) if column.spread else []
        lines.append(line)
    return _write(lines)


def render_claims_csv(table: Table) -> str:
    """The claims, one line each, with the statistics of the difference higher - lower."""
    lines: list[list[str]] = [_CLAIM_HEADER.split()]
    for claim in table.claims:
        spec, comparison = claim.spec, claim.comparison
        line = [spec.id, spec.text, spec.source, spec.metric, spec.higher, spec.lower, claim.verdict]
        if comparison is None:
            line += [""] * 7
        else:
            interval = comparison.interval
            bounds = (interval.low, interval.high) if interval else (None, None)
            line += [_number(x) for x in (comparison.mean, comparison.sd, *bounds, comparison.p)]
            line += [comparison.test, str(comparison.n)]
        lines.append(line)
    return _write(lines)


def _spread(cell: Cell) -> list[str]:
    low, high = (cell.interval.low, cell.interval.high) if cell.interval else (None, None)
    return [_number(cell.sd), _number(low), _number(high), "" if cell.n is None else str(cell.n)]


def _value(cell: Cell) -> str:
    if cell.value is None:
        return ""
    if isinstance(cell.value, str):
        return cell.value
    if isinstance(cell.value, tuple):
        return RUN_SEPARATOR.join(cell.value)
    return _number(cell.value)


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _write(lines: Iterable[list[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
