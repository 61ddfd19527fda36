"""How the figure of a saved table's cell came about, told from its column: the metric, the runs, the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dit_bench.recipes.metrics import METRIC_NAMES
from dit_bench.report.costs import rho_values
from dit_bench.report.inputs import ROUTED_COSTS, RunSummary, metric_by_seed, runs_by_row
from dit_bench.report.statistics import compare_by_seed, mean

_MEANS = {
    "gmacs": "gmacs_mean",
    "gmacs_sd_images": "gmacs_sd",
    **{key: key for key in ("params_valid_m", "params_total_m", "images_seen", "latency_ms_per_image")},
    **{key: key for key in ("fvcore_gmacs_mean", "fvcore_gmacs_without_aux_mean")},
}
"""Columns that are the mean of a metric over runs."""
MATMUL = "matmul: convolutions, linear layers and attention products, one multiply-accumulate each"
FVCORE = "fvcore: matmul plus layer norms 5, batch norms 2 and bilinearly upsampled maps 4 per element"


@dataclass(frozen=True)
class CellOrigin:
    """The arithmetic behind a cell."""

    how: str
    metric: str | None = None
    values: Sequence[tuple[str, float]] = ()
    """Run id and what that run contributed."""
    recomputed: float | None = None
    """The figure, computed once more from `values`."""
    runs: Sequence[RunSummary] = ()
    """All runs that the cell rests on."""
    convention: str | None = None
    guessed: str | None = None
    """What was not on record and was found out from the figures."""


@dataclass(frozen=True)
class SavedRuns:
    """The runs of a saved table, by row."""

    by_row: Mapping[str, list[RunSummary]]
    source: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> SavedRuns:
        """Those of a table's document."""
        runs = [
            RunSummary(run["row"], run["seed"], run["run_id"], run["metrics"], run.get("training", {}))
            for run in document["runs"]
        ]
        return cls(runs_by_row(runs), document["source"] or {})


def measured_origin(saved: SavedRuns, row: str, key: str, value: float | None) -> CellOrigin | None:
    """How a figure that comes from runs came about; None for a column that does not come from runs."""
    runs = saved.by_row.get(row, [])
    if key in _MEANS:
        return _mean_of(runs, _MEANS[key])
    if key == "ratio":
        return _ratio(saved, runs)
    if key == "rho":
        return _rho(saved, runs)
    if key == "quality" or key.endswith("_ours"):
        metric, guessed = _quality(saved, key, runs, value)
        if metric is not None:
            return _mean_of(runs, metric, guessed)
        return CellOrigin("mean over runs of a metric that is not on record", runs=runs)
    if key == "difference" or key.endswith("_percent_difference"):
        return _difference(saved, row, key, value)
    return None


def _mean_of(runs: Sequence[RunSummary], metric: str, guessed: str | None = None) -> CellOrigin:
    values = [(run.run_id, run.metrics[metric]) for run in runs if metric in run.metrics]
    seeds = ", ".join(str(run.seed) for run in runs if metric in run.metrics)
    how = f"mean of {metric} over n = {len(values)} runs (seeds {seeds}); ± is the SD over seeds"
    convention = FVCORE if metric.startswith("fvcore") else MATMUL if metric.startswith("gmacs") else None
    return CellOrigin(how, metric, values, _mean(values), runs, convention, guessed)


def _ratio(saved: SavedRuns, runs: Sequence[RunSummary]) -> CellOrigin:
    metric = saved.source.get("cost", ROUTED_COSTS.metric)
    base_metric = saved.source.get("base_cost", ROUTED_COSTS.base_metric)
    if not saved.source and any("fvcore_gmacs_mean" in run.metrics for run in runs):
        metric, base_metric = "fvcore_gmacs_mean", "base_fvcore_gmacs"
    values = [
        (run.run_id, run.metrics[metric] / run.metrics[base_metric])
        for run in runs
        if metric in run.metrics and run.metrics.get(base_metric)
    ]
    base = saved.source.get("base")
    how = f"{metric} over {base_metric}{f' ({base})' if base else ''} of each run, mean of n = {len(values)}"
    return CellOrigin(how, metric, values, _mean(values), runs, FVCORE if metric.startswith("fvcore") else MATMUL)


def _rho(saved: SavedRuns, runs: Sequence[RunSummary]) -> CellOrigin:
    base = saved.by_row.get(saved.source.get("base_row") or "", [])
    values = [(run.run_id, rho) for run in runs for rho in rho_values([run], base)]
    how = (
        "(real speed-up − 1) / (ideal speed-up − 1) of each run: base_latency_ms_per_image over latency_ms_per_image,"
        f" and base_gmacs over gmacs_mean; mean of n = {len(values)}"
    )
    return CellOrigin(how, "latency_ms_per_image", values, _mean(values), runs, MATMUL)


def _quality(
    saved: SavedRuns, key: str, runs: Sequence[RunSummary], value: float | None
) -> tuple[str | None, str | None]:
    """The metric of a figure of merit, and how it was found where the table does not say."""
    if key != "quality":
        return key.removesuffix("_ours"), None
    if "quality" in saved.source:
        return saved.source["quality"], None
    for metric in METRIC_NAMES:
        found = [run.metrics[metric] for run in runs if metric in run.metrics]
        if value is not None and found and mean(found) == value:
            return metric, f"the table does not name the metric; {metric} is the one with this mean"
    return None, None


def _difference(saved: SavedRuns, row: str, key: str, value: float | None) -> CellOrigin:
    runs = saved.by_row.get(row, [])
    if saved.source:
        metric = saved.source["quality"] if key == "difference" else key.removesuffix("_difference")
        reference, guessed = saved.source["references"].get(row), None
        return _minus(saved, row, reference, metric, guessed)
    metrics = METRIC_NAMES if key == "difference" else (key.removesuffix("_difference"),)
    for reference in (other for other in saved.by_row if other != row):
        for metric in metrics:
            found = _minus(saved, row, reference, metric, None)
            if value is not None and found.recomputed == value:
                guessed = f"the table does not name the rows; {metric} minus that of {reference} gives this figure"
                return _minus(saved, row, reference, metric, guessed)
    return CellOrigin("difference to a row that is not on record", runs=runs)


def _minus(saved: SavedRuns, row: str, reference: str | None, metric: str, guessed: str | None) -> CellOrigin:
    runs, others = saved.by_row.get(row, []), saved.by_row.get(reference or "", [])
    comparison = compare_by_seed(metric_by_seed(runs, metric), metric_by_seed(others, metric))
    values = [(run.run_id, run.metrics[metric]) for run in (*runs, *others) if metric in run.metrics]
    how = f"mean {metric} of the row minus that of row {reference}"
    if comparison is not None:
        how += f", {'paired by seed' if comparison.test == 'paired t' else 'not paired'}, n = {comparison.n}"
    found = None if comparison is None else comparison.mean
    return CellOrigin(how, metric, values, found, (*runs, *others), guessed=guessed)


def _mean(values: Sequence[tuple[str, float]]) -> float | None:
    return mean([value for _, value in values]) if values else None


def agrees(recomputed: float | None, value: object) -> bool | None:
    """Whether a figure computed once more is the one in the table, to the last digits; None if there is none."""
    if recomputed is None or not isinstance(value, (int, float)):
        return None
    return math.isclose(recomputed, value, rel_tol=1e-12, abs_tol=1e-15)
