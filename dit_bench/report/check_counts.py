"""Parameters and MACs, counted anew, against their baseline: integers, which must be equal."""

from __future__ import annotations

from collections.abc import Mapping

from dit_bench.report.check_result import CheckLine, CheckVerdict
from dit_bench.runs.baseline import CountedRow


def check_counts(
    before: Mapping[str, CountedRow], now: Mapping[str, CountedRow], refusals: Mapping[str, str]
) -> list[CheckLine]:
    """All figures of all rows; `refusals` says why a row of the baseline could not be counted at all."""
    lines: list[CheckLine] = []
    for row, counted in before.items():
        if row in now:
            lines += _row(row, counted, now[row])
        else:
            lines.append(CheckLine(row, "row", "missing", note=refusals[row]))
    return lines


def _row(row: str, before: CountedRow, now: CountedRow) -> list[CheckLine]:
    if before.problem != now.problem:
        verdict: CheckVerdict = "missing" if now.problem else "new"
        note = (
            f"could not be counted: {now.problem}" if now.problem else "could not be counted before: renew the baseline"
        )
        return [CheckLine(row, "row", verdict, note=note)]
    if before.image_size_px != now.image_size_px:
        old, new = ("x".join(map(str, counted.image_size_px)) for counted in (before, now))
        return [CheckLine(row, "input size", "changed", None, old, new, "exact", "counted at another input size")]
    return [_figure(row, name, before, now) for name in dict.fromkeys([*before.figures, *now.figures])]


def _figure(row: str, name: str, before: CountedRow, now: CountedRow) -> CheckLine:
    old, new = before.figures.get(name), now.figures.get(name)
    if old is None:
        return CheckLine(row, name, "new", None, "—", str(new), note="the baseline lacks it")
    if new is None:
        return CheckLine(row, name, "missing", None, str(old), "—", "exact", "no longer counted")
    if old == new:
        return CheckLine(row, name, "holds", None, str(old), str(new), "exact")
    change = f"{100 * (new / old - 1):+.3g} %" if old else "from nothing"
    return CheckLine(row, name, "changed", None, str(old), str(new), "exact", f"differs by {new - old:+d} ({change})")
