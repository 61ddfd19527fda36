"""Figures straight from finished runs: skipped tokens per node, one metric against another, metrics over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dit_bench.errors import UsageError
from dit_bench.recipes.resolve import ResolvedRow
from dit_bench.report.figures.curves import CurvePanels, TrainingCurve, draw_curves
from dit_bench.report.figures.tradeoff import GMACS_NAME, TradeoffPoint, draw_tradeoff, printed_point, tradeoff_points
from dit_bench.report.from_runs import summaries, table_spec
from dit_bench.report.inputs import GMACS, RowSpec, TableSpec
from dit_bench.report.qualities import QUALITIES
from dit_bench.report.skip_statistics import SkipStatistics, skip_statistics
from dit_bench.report.statistics import Summary, decimals_of, summarise
from dit_bench.runs.epochs import EpochFigures, load_epochs
from dit_bench.runs.image_records import load_image_records
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COST = "gmacs_mean"
PRINTED_KEYS = {COST: GMACS, "params_total_m": "params_m"}
"""Keys of printed figures, where they are not the metrics' own names."""
AXIS_NAMES = {COST: GMACS_NAME, "params_total_m": "Parameters (M)"} | {q.metric: q.name for q in QUALITIES}
LOSS = "task_loss"
"""Of the epochs' figures: the loss without the budget's part."""


def run_skip_statistics(row: ResolvedRow, run: FinishedRun) -> SkipStatistics:
    """Figure 4's statistics of one run, from its per-image records.

    Raises UsageError for a network that has no routing grid, DataError if the records are damaged.
    """
    records = load_image_records(run.path)
    if "base_gmacs" not in run.record.metrics:
        raise UsageError(
            f"{row.settings.model.name} has no routing grid", remedy="name a row of a dit_ or pvt_v2_ model"
        )
    data = row.settings.data
    title = f"{row.row.label}, {data.dataset.replace('_', ' ')} {data.eval_split}"
    return skip_statistics(records.kept, records.tokens, records.live, records.columns, title=title)


def tradeoff_figure(rows: Sequence[ResolvedRow], store: RunStore) -> tuple[Figure, list[str]]:
    """The metrics on the recipe's axes, of finished runs and, in the paper's profile, as printed; and what to know.

    A recipe without axes shows the figure of merit of its runs against GMACs. Raises UsageError if there is no point.
    """
    recipe, spec = rows[0].recipe.recipe, table_spec(rows[0].recipe, rows, "")
    if recipe.axes is None:
        points = tradeoff_points(spec.rows, summaries(rows, store), COST, spec.quality.metric)
        return draw_tradeoff(points, y_name=spec.quality.name, title=recipe.title), []
    horizontal, vertical = recipe.axes.horizontal, recipe.axes.vertical
    printed = _printed_points(spec, rows, horizontal, vertical) if spec.profile == "paper" else []
    measured = tradeoff_points(spec.rows, summaries(rows, store), horizontal, vertical)
    headings = spec.paper_headings
    figure = draw_tradeoff(
        [*printed, *measured],
        x_name=headings.get(PRINTED_KEYS.get(horizontal, horizontal), AXIS_NAMES.get(horizontal, horizontal)),
        y_name=headings.get(vertical, AXIS_NAMES.get(vertical, vertical)),
        groups=[group.rows for group in recipe.groups or []],
        title=recipe.title,
    )
    trainable = [row.row.label for row in rows if row.row.params_convention == "trainable"]
    if horizontal != "params_total_m" or not trainable:
        return figure, []
    return figure, [f"printed without the parameters that are not trained: {'; '.join(trainable)}"]


def _printed_points(
    spec: TableSpec, rows: Sequence[ResolvedRow], horizontal: str, vertical: str
) -> list[TradeoffPoint]:
    chosen, points = {row.row.id for row in rows}, []
    for row in spec.rows:
        x, y = (printed_value(spec, row, metric) for metric in (horizontal, vertical))
        if row.id in chosen and x is not None and y is not None:
            points.append(printed_point(row, x, y))
    return points


def printed_value(spec: TableSpec, row: RowSpec, metric: str) -> float | None:
    """A printed metric of a row, also where only its difference to the reference row is printed."""
    key = PRINTED_KEYS.get(metric, metric)
    if key in row.printed:
        return row.printed[key]
    difference = next((q.difference for q in QUALITIES if q.metric == metric and q.difference in row.printed), None)
    reference = next((other for other in spec.rows if other.id == spec.reference_of(row)), None)
    if difference is None or reference is None or key not in reference.printed:
        return None
    base, gap = reference.printed[key], row.printed[difference]
    return round(base + gap, max(decimals_of(base), decimals_of(gap)))


def curves_figure(rows: Sequence[ResolvedRow], store: RunStore) -> tuple[Figure, list[str]]:
    """Training loss over the epochs, and the figure of merit where runs or, in the paper's profile, the print have it.

    Also says what a reader needs to know. Raises UsageError if there is neither a run nor a printed figure.
    """
    recipe, spec = rows[0].recipe.recipe, table_spec(rows[0].recipe, rows, "")
    metric = spec.quality.metric if recipe.axes is None else recipe.axes.vertical
    named = {row.id: row for row in spec.rows}
    curves = {row.row.id: _training_curve(row, named[row.row.id], spec, store, metric) for row in rows}
    groups = [(group.label, group.rows) for group in recipe.groups or []] or [("", list(curves))]
    panels = [CurvePanels(label, [curves[row] for row in ids if row in curves]) for label, ids in groups]
    name = AXIS_NAMES.get(metric, metric)
    if recipe.axes is not None:
        name = spec.paper_headings.get(metric, name)
    at_end_only = not any(len(curve.quality) > 1 for curve in curves.values())
    title = f"{recipe.title} ({name} at the end only)" if at_end_only else recipe.title
    return draw_curves(panels, quality_name=name, title=title), _curve_notes(list(curves.values()), spec, metric)


def _training_curve(row: ResolvedRow, named: RowSpec, spec: TableSpec, store: RunStore, metric: str) -> TrainingCurve:
    found = [store.find(row.settings, seed) for seed in row.seeds]
    runs = [(run, load_epochs(run)) for run in found if run is not None]
    lengths = {len(epochs) for _, epochs in runs}
    assert len(lengths) <= 1, f"runs of one row have {lengths} epochs"
    # The training of a segmenter is measured in updates: only a run tells how many epochs they are.
    planned = None if row.settings.task == "segmentation" else row.settings.optimiser.epochs
    length = max(lengths, default=planned)
    if length is None:
        return TrainingCurve(named.id, named.label, 0)
    at_end = [run.record.metrics[metric] for run, _ in runs if metric in run.record.metrics]
    quality = _over_seeds([epochs for _, epochs in runs], metric)
    if at_end:
        quality = {**quality, length: summarise(at_end)}
    printed = printed_value(spec, named, metric) if spec.profile == "paper" else None
    return TrainingCurve(
        named.id,
        named.label,
        max(length, planned or 0),
        _over_seeds([epochs for _, epochs in runs], LOSS),
        quality,
        {} if printed is None else {planned or length: printed},
    )


def _over_seeds(runs: Sequence[Sequence[EpochFigures]], metric: str) -> Mapping[int, Summary]:
    """Mean over the runs after each epoch that has the metric."""
    values: dict[int, list[float]] = {}
    for epochs in runs:
        for number, figures in enumerate(epochs, start=1):
            if metric in figures:
                values.setdefault(number, []).append(figures[metric])
    return {number: summarise(of_epoch) for number, of_epoch in values.items()}


def _curve_notes(curves: Sequence[TrainingCurve], spec: TableSpec, metric: str) -> list[str]:
    notes = []
    if any(curve.loss for curve in curves):
        if not any(len(curve.quality) > 1 for curve in curves):
            notes.append("over the epochs: the training loss; runs are evaluated once, at the end of their training")
    else:
        notes.append("no finished run: only what is printed of the end of the training is drawn")
    derived = [row.label for row in spec.rows if PRINTED_KEYS.get(metric, metric) not in row.printed]
    derived = [curve.label for curve in curves if curve.printed and curve.label in derived]
    if derived:
        notes.append(f"printed as a difference to the row that they are measured against: {'; '.join(derived)}")
    return notes
