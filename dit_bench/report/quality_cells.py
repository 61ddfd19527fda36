"""The cells of a figure of merit: the print, ours, the difference to the reference row, the verdict."""

from dataclasses import dataclass

from dit_bench.report.cells import Cell, Column, missing
from dit_bench.report.inputs import Quality, RowSpec, RunSummary, TableSpec, metric_by_seed
from dit_bench.report.numbers import fixed, interval_text, signed, with_sd
from dit_bench.report.statistics import (
    Comparison,
    PrintedFigure,
    Summary,
    compare_by_seed,
    decimals_of,
    printed_difference,
    printed_figure,
    summarise,
    verdict,
)

QUALITY_DECIMALS = 2


@dataclass(frozen=True)
class QualityKeys:
    """Keys of the columns of one figure of merit."""

    printed: str
    ours: str
    printed_difference: str
    difference: str
    verdict: str


MAIN_KEYS = QualityKeys("printed_quality", "quality", "printed_difference", "difference", "verdict")
"""Of the figure that a table compares its rows by."""


def further_keys(quality: Quality) -> QualityKeys:
    """Of any other figure."""
    parts = ("printed", "ours", "printed_difference", "difference", "verdict")
    return QualityKeys(*(f"{quality.metric}_{part}" for part in parts))


def further_columns(spec: TableSpec) -> list[Column]:
    """The columns of what a paper prints besides; in a narrow terminal the last figure goes first."""
    columns: list[Column] = []
    for place, quality in enumerate(spec.further, start=1):
        keys, group = further_keys(quality), spec.paper_headings.get(quality.metric, quality.name)
        columns.append(Column(keys.printed, group, "paper", "further", 2 * place))
        columns.append(Column(keys.ours, group, "ours", "further", 2 * place - 1, spread=True))
        if quality.difference is not None:
            columns.append(Column(keys.printed_difference, group, "Δ paper", "further", 2 * place))
            columns.append(Column(keys.difference, group, "Δ ours", "further", 2 * place - 1, spread=True))
        if quality.judged and (spec.comparable or quality.difference is not None):
            columns.append(Column(keys.verdict, group, "verdict", "further", 2 * place - 1))
    return columns


def quality_cells(
    spec: TableSpec,
    row: RowSpec,
    listed: dict[str, list[RunSummary]],
    quality: Quality,
    keys: QualityKeys,
    *,
    with_n: bool = False,
) -> dict[str, Cell]:
    """One figure of merit and its difference to the reference row, printed and ours; `with_n`: and how many runs."""
    metric = quality.metric
    values = metric_by_seed(listed[row.id], metric)
    ours = summarise(list(values.values())) if values else None
    cell = measured(ours, QUALITY_DECIMALS)
    if ours and with_n:
        cell = Cell(f"{cell.text} ({ours.n})", ours.mean, "measured", ours.sd, ours.interval, ours.n)
    cells = {keys.printed: printed_cell(row, metric), keys.ours: cell}

    is_reference = row.id in spec.references
    reference = spec.reference_of(row)
    printed, comparison = None, None
    if reference is None:
        cells |= {keys.printed_difference: missing(), keys.difference: missing()}
    else:
        printed, shown = _printed_difference(spec, row, reference, quality)
        comparison = compare_by_seed(values, metric_by_seed(listed[reference], metric))
        difference = missing()
        if comparison:
            text = with_sd(signed(comparison.mean, QUALITY_DECIMALS), comparison.sd, QUALITY_DECIMALS)
            difference = Cell(text, comparison.mean, "measured", comparison.sd, comparison.interval, comparison.n)
        cells |= {keys.printed_difference: shown, keys.difference: difference}

    has_runs = bool(listed[row.id])
    if spec.comparable:
        judged = verdict_cell(printed_of(row, metric), ours, QUALITY_DECIMALS, has_runs=has_runs)
    elif is_reference and has_runs:
        judged = missing("reference")
    else:
        judged = verdict_cell(printed, comparison, QUALITY_DECIMALS, has_runs=has_runs, sign=True)
    return cells | {keys.verdict: judged}


def printed_of(row: RowSpec, key: str) -> PrintedFigure | None:
    """A printed figure with the range that rounds to it; None where the paper prints none."""
    if key not in row.printed:
        return None
    return printed_figure(row.printed[key], row.printed_decimals.get(key))


def printed_cell(row: RowSpec, key: str, *, sign: bool = False) -> Cell:
    """A printed figure with the decimals of the print."""
    if key not in row.printed:
        return missing()
    decimals = row.printed_decimals.get(key, decimals_of(row.printed[key]))
    return Cell((signed if sign else fixed)(row.printed[key], decimals), row.printed[key], "printed")


def measured(summary: Summary | None, decimals: int) -> Cell:
    """Mean and SD over runs."""
    if summary is None:
        return missing()
    text = with_sd(fixed(summary.mean, decimals), summary.sd, decimals)
    return Cell(text, summary.mean, "measured", summary.sd, summary.interval, summary.n)


def verdict_cell(
    printed: PrintedFigure | None,
    ours: Summary | Comparison | None,
    decimals: int,
    *,
    has_runs: bool,
    sign: bool = False,
) -> Cell:
    """The verdict with the interval it rests on; `no data` without runs, a dash without a printed figure."""
    if not has_runs:
        return Cell("no data", "no data", "verdict")
    if printed is None:
        return missing()
    judged = verdict(printed, ours)
    detail = ""
    if ours is not None and judged != "match":
        if ours.interval is None:
            detail = f"n = {ours.n}"
        elif ours.sd:
            detail = interval_text(ours.interval, decimals, sign=sign)
    interval, n = (ours.interval, ours.n) if ours else (None, None)
    return Cell(judged, judged, "verdict", interval=interval, n=n, detail=detail)


def _printed_difference(
    spec: TableSpec, row: RowSpec, reference_id: str, quality: Quality
) -> tuple[PrintedFigure | None, Cell]:
    """The bracketed difference where the paper prints one, else computed from the two printed figures."""
    if quality.difference is not None and quality.difference in row.printed:
        return printed_of(row, quality.difference), printed_cell(row, quality.difference, sign=True)
    reference = next(other for other in spec.rows if other.id == reference_id)
    own, theirs = printed_of(row, quality.metric), printed_of(reference, quality.metric)
    if own is None or theirs is None:
        return None, missing()
    derived = printed_difference(own, theirs)
    return derived, Cell(signed(derived.value, decimals_of(row.printed[quality.metric])), derived.value, "derived")
