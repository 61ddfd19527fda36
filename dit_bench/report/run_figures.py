"""Figures straight from finished runs: skipped tokens per node, accuracy against MACs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dit_bench.errors import UsageError
from dit_bench.recipes.resolve import ResolvedRow
from dit_bench.report.figures.tradeoff import draw_tradeoff, tradeoff_points
from dit_bench.report.from_runs import summaries, table_spec
from dit_bench.report.skip_statistics import SkipStatistics, skip_statistics
from dit_bench.runs.image_records import load_image_records
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def tradeoff_figure(rows: Sequence[ResolvedRow], store: RunStore) -> Figure:
    """The figure of merit against GMACs of the finished runs of the rows; raises UsageError if there is none."""
    loaded = rows[0].recipe
    spec = table_spec(loaded, rows, "")
    points = tradeoff_points(spec.rows, summaries(rows, store), spec.quality)
    return draw_tradeoff(points, quality_name=spec.quality.name, title=loaded.recipe.title)
