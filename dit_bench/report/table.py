"""Builds the table that sets a paper's printed figures beside ours, with a verdict for each row and claim."""

from collections.abc import Sequence
from typing import Any

from dit_bench.report.cells import Cell, Column, Table, TableRow, missing
from dit_bench.report.claims import judge_claims
from dit_bench.report.costs import cost_cells
from dit_bench.report.inputs import GMACS, RowSpec, RunSummary, TableSpec, metric_by_seed, runs_by_row
from dit_bench.report.numbers import fixed, shared_decimals
from dit_bench.report.quality_cells import (
    MAIN_KEYS,
    further_columns,
    further_keys,
    measured,
    printed_cell,
    printed_of,
    quality_cells,
    verdict_cell,
)
from dit_bench.report.statistics import printed_figure, printed_ratio, summarise

RATIO_DECIMALS = 3


def build_table(spec: TableSpec, runs: Sequence[RunSummary], base_runs: Sequence[RunSummary] = ()) -> Table:
    """Compare `runs` with the printed table `spec`; rows without runs keep their line.

    `base_runs` are runs of PVTv2 of the same size at the same input, for rho; without them `spec.base_row` serves.

    If `spec.comparable` is false, the runs saw other data than the paper's: absolute figures are shown without a
    verdict, which is then on the MACs relative to `spec.costs.base` and on the difference to the reference row.
    """
    grouped = runs_by_row(runs)
    listed = {row.id: grouped.get(row.id, []) for row in spec.rows}
    gmacs = [run.metrics[key] for row in listed.values() for run in row for key in _GMACS_KEYS if key in run.metrics]
    decimals = shared_decimals(gmacs)
    base = list(base_runs) or listed.get(spec.base_row or "", [])
    rows = []
    for row in spec.rows:
        cells = {"label": Cell(row.label, row.label, "label")}
        cells |= _mac_cells(spec, row, listed[row.id], decimals)
        cells |= quality_cells(spec, row, listed, spec.quality, MAIN_KEYS, with_n=True)
        for quality in spec.further:
            cells |= quality_cells(spec, row, listed, quality, further_keys(quality))
        cells |= cost_cells(listed[row.id], base, decimals)
        rows.append(TableRow(row.id, cells))
    relative = _is_any_of(("printed_ratio", "ratio"), rows)
    return Table(
        title=spec.title,
        caption=_caption(spec, listed, relative),
        notes=_notes(spec, relative),
        profile=spec.profile,
        comparable=spec.comparable,
        command=spec.command,
        columns=_without_empty(_columns(spec), spec, rows),
        rows=tuple(rows),
        claims=judge_claims(spec, listed),
        runs=tuple(run for row in listed.values() for run in row),
        source=table_source(spec),
    )


def _is_any_of(keys: tuple[str, ...], rows: Sequence[TableRow]) -> bool:
    return any(row.cells[key].value is not None for row in rows for key in keys)


def _without_empty(columns: Sequence[Column], spec: TableSpec, rows: Sequence[TableRow]) -> tuple[Column, ...]:
    """Without what no row could fill: printed MACs, ratios to a base, differences, and the verdicts on them."""
    relative, printed = _is_any_of(("printed_ratio", "ratio"), rows), _is_any_of(("printed_gmacs",), rows)
    empty = set() if relative else {"printed_ratio", "ratio", "rho"}
    empty |= set() if printed else {"printed_gmacs"}
    if not (printed if _judges_absolute_macs(spec) else relative):
        empty.add("macs_verdict")
    if not _is_any_of(("printed_difference", "difference"), rows):
        empty |= {"printed_difference", "difference"} | (set() if spec.comparable else {"verdict"})
    return tuple(column for column in columns if column.key not in empty)


def table_source(spec: TableSpec) -> dict[str, Any]:
    """What the cells come from: where the print stands, which metrics are shown, who is measured against whom."""
    return {
        **spec.printed_in,
        "quality": spec.quality.metric,
        "further": [quality.metric for quality in spec.further],
        "cost": spec.costs.metric,
        "base_cost": spec.costs.base_metric,
        "base": spec.costs.base_counted,
        "base_row": spec.base_row,
        "references": {row.id: spec.reference_of(row) for row in spec.rows},
        "conventions": {row.id: row.convention for row in spec.rows},
    }


_GMACS_KEYS = ("gmacs_mean", "base_gmacs")
_FVCORE_COLUMNS = {"fvcore_gmacs_mean": "ours, as printed", "fvcore_gmacs_without_aux_mean": "ours, last head alone"}
"""What pruned rows cost by the counting of their print, by metric."""


def _columns(spec: TableSpec) -> tuple[Column, ...]:
    """The columns of this table. What carries the verdict outlives the rest in a narrow terminal."""
    printed_heading = spec.paper_headings.get(GMACS, "")
    print_name = f"paper ({printed_heading})" if printed_heading else "paper"
    quality = spec.paper_headings.get(spec.quality.metric, spec.quality.name)
    ratio = f"× {spec.base_label}"
    # Absolute prints explain least where they cannot be judged, relative ones least where they need not be.
    absolute, relative = (3, 5) if spec.comparable else (6, 2)
    macs_group = "GMACs" if _judges_absolute_macs(spec) else ratio
    judged = [
        Column("macs_verdict", macs_group, "verdict", "result", 1),
        Column("verdict", quality if spec.comparable else "Δ", "verdict", "result", 0),
    ]
    columns = [
        Column("label", "", "Row", "result", 0),
        Column("printed_gmacs", "GMACs", print_name, "result", absolute),
        *_own_cost_columns(spec),
        Column("printed_ratio", ratio, "paper", "result", relative + 1),
        Column("ratio", ratio, "ours", "result", relative, spread=True),
        Column("printed_quality", quality, "paper", "result", absolute - 1),
        Column("quality", quality, "ours (n)", "result", 0, spread=True),
        Column("printed_difference", "Δ", "paper", "result", relative),
        Column("difference", "Δ", "ours", "result", relative - 1, spread=True),
    ]
    for column in judged:
        last = max(index for index, other in enumerate(columns) if other.group == column.group)
        columns.insert(last + 1, column)
    columns += further_columns(spec)
    columns += [
        Column("gmacs_sd_images", "GMACs", "SD over images", "cost", 1),
        Column("params_valid_m", "Parameters (M)", "valid", "cost", 2),
        Column("params_total_m", "Parameters (M)", "total", "cost", 4),
        Column("images_seen", "Training", "images seen", "cost", 5),
        Column("latency_ms_per_image", "Latency", "ms/image", "cost", 1, spread=True),
        Column("rho", "Latency", "rho", "cost", 1, spread=True),
        Column("runs", "Runs", "", "cost", 3),
    ]
    return tuple(columns)


def _own_cost_columns(spec: TableSpec) -> list[Column]:
    """Our GMACs; of pruned rows first those that are counted as the print is."""
    priority = 2 if spec.comparable else 4
    if not spec.costs.pruned:
        return [Column("gmacs", "GMACs", "ours", "result", priority, spread=True)]
    as_printed, last_head = (
        Column(metric, "GMACs", name, "result", priority + more, spread=True)
        for more, (metric, name) in zip((0, 4), _FVCORE_COLUMNS.items(), strict=True)
    )
    return [as_printed, last_head, Column("gmacs", "GMACs", "ours, matmul", "result", priority + 1, spread=True)]


def _judges_absolute_macs(spec: TableSpec) -> bool:
    return spec.comparable and spec.one_input_size


def _mac_cells(spec: TableSpec, row: RowSpec, runs: list[RunSummary], decimals: int) -> dict[str, Cell]:
    """MACs and their ratio to what is saved against, printed and ours; judged is what is counted as the print."""
    executed = list(metric_by_seed(runs, "gmacs_mean").values())
    gmacs = metric_by_seed(runs, spec.costs.metric)
    base = metric_by_seed(runs, spec.costs.base_metric)
    ratios = [gmacs[seed] / base[seed] for seed in gmacs if base.get(seed)]
    ours = summarise(list(gmacs.values())) if gmacs else None
    ratio = summarise(ratios) if ratios else None
    printed = printed_of(row, GMACS)
    relative = None
    base_printed = spec.base_printed_of(row)
    if printed and base_printed:
        relative = printed_ratio(printed, printed_figure(base_printed))
    judged = (printed, ours, decimals) if _judges_absolute_macs(spec) else (relative, ratio, RATIO_DECIMALS)
    counted = {}
    for metric in _FVCORE_COLUMNS if spec.costs.pruned else ():
        values = list(metric_by_seed(runs, metric).values())
        counted[metric] = measured(summarise(values) if values else None, decimals)
    return {
        "printed_gmacs": printed_cell(row, GMACS),
        "gmacs": measured(summarise(executed) if executed else None, decimals),
        **counted,
        "printed_ratio": Cell(fixed(relative.value, 2), relative.value, "derived") if relative else missing(),
        "ratio": measured(ratio, RATIO_DECIMALS),
        "macs_verdict": verdict_cell(*judged, has_runs=bool(runs)),
    }


def _reference_label(spec: TableSpec) -> str:
    """What the notes call the rows that others are measured against."""
    labels = [row.label for row in spec.rows if row.id in spec.references]
    return f"row {labels[0]}" if len(labels) == 1 else "reference row of the same size"


def _caption(spec: TableSpec, listed: dict[str, list[RunSummary]], relative_macs: bool) -> str:
    seeds = sorted({run.seed for runs in listed.values() for run in runs})
    made = f"profile {spec.profile}, " + (f"seeds {', '.join(map(str, seeds))}" if seeds else "no runs yet")
    caption = f"{spec.title} ({made})."
    if not spec.comparable:
        judged = [f"differences to the {_reference_label(spec)}"] if spec.references else []
        judged += [f"MACs relative to {spec.base_label}"] if relative_macs else []
        other = "was run on other data or settings" if spec.profile == "paper" else "uses other data"
        caption += f" Profile {spec.profile} {other} than the paper, so absolute figures get no verdict" + (
            f": it is on {' and '.join(judged)}." if judged else "."
        )
    return caption


def _notes(spec: TableSpec, relative_macs: bool) -> tuple[str, ...]:
    """What a reader needs to know about the conventions; only what this table uses."""
    heading = spec.paper_headings.get(GMACS, "GMACs")
    notes = [f'The printed column "{heading}" holds multiply-accumulates: GMACs.'] if heading != "GMACs" else []
    notes.append("GMACs of ours are the mean over the evaluated images; ± is the SD over seeds, n their number.")
    if relative_macs:
        counted = spec.costs.base_counted
        notes.append(f"× {spec.base_label}: the paper's base in the printed column; in ours, {counted}.")
    notes += [
        "match: ours rounds to the print; within noise: the print lies in the 95 % interval of our mean (in brackets);"
        " differs: neither. One seed has no interval.",
    ]
    if spec.costs.pruned:
        notes.append(
            "ours, as printed: as fvcore counts, with every head that ran; last head alone: the same without auxiliary"
            " heads; matmul: convolutions, linear layers and attention products, with every head that ran. The first is"
            " compared with the print. All are those of one window of the test."
        )
    if relative_macs and not spec.one_input_size:
        notes.append(
            "The paper counted at one input size, ours is the mean over images of all sizes: ratios are judged."
        )
    if not all(quality.judged for quality in spec.further):
        notes.append("Times are those of the machine on which they were taken and get no verdict.")
    if spec.references:
        notes.append(
            f"Δ: difference to the {_reference_label(spec)}, paired by seed where two seeds or more are shared;"
            " differences and ratios that the paper does not print are computed from its printed figures and judged"
            " with the rounding of both."
        )
    if relative_macs:
        notes.append(
            f"rho = (real speed-up − 1) / (ideal speed-up − 1) against {spec.costs.base}, ideal being the ratio of"
            " MACs; given only for rows that save at least 1 % of the MACs."
        )
    if spec.claims:
        notes.append("p values are two-sided and not corrected for the number of claims.")
    return (*notes, *row_notes(spec))


def row_notes(spec: TableSpec) -> list[str]:
    """What there is to know about this table and its rows in particular."""
    notes = list(spec.extra_notes)
    for row in spec.rows:
        notes += [f"{row.label}: {text}" for text in (row.unavailable, row.note) if text]
    return notes
