"""The cells on what a row costs: spread of MACs over images, parameters, training, latency, rho, and its runs."""

from dit_bench.report.cells import Cell, missing
from dit_bench.report.inputs import RunSummary, metric_by_seed
from dit_bench.report.numbers import fixed, with_sd
from dit_bench.report.statistics import mean, sample_sd, summarise

SMALLEST_SAVING = 0.01
"""Share of MACs below which rho is not formed: its denominator would be lost in the noise of any timing."""


def cost_cells(runs: list[RunSummary], base_runs: list[RunSummary], gmacs_decimals: int) -> dict[str, Cell]:
    """Cost cells of one row; `base_runs` are those of PVTv2 of the same size, empty if it is no row of the table."""
    spread = metric_by_seed(runs, "gmacs_sd")
    run_ids = tuple(run.run_id for run in runs)
    return {
        "gmacs_sd_images": _mean_cell(list(spread.values()), gmacs_decimals),
        "params_valid_m": _mean_cell(list(metric_by_seed(runs, "params_valid_m").values()), 2),
        "params_total_m": _mean_cell(list(metric_by_seed(runs, "params_total_m").values()), 2),
        "images_seen": _images_cell(list(metric_by_seed(runs, "images_seen").values())),
        "latency_ms_per_image": _spread_cell(list(metric_by_seed(runs, "latency_ms_per_image").values()), 2),
        "rho": _spread_cell(rho_values(runs, base_runs), 2),
        "runs": Cell(", ".join(run_ids), run_ids, "runs", n=len(run_ids)) if run_ids else missing("no data"),
    }


def rho(latency: float, base_latency: float, gmacs: float, base_gmacs: float) -> float | None:
    """(real speed-up - 1) / (ideal speed-up - 1) against the base; None for a row that saves less than 1 % of MACs.

    Latencies in the same unit, as are the MACs. 1 means that every saved multiply-accumulate saved its share of time,
    0 that nothing was gained, a negative figure that the row is slower than the base in spite of fewer MACs.
    """
    assert min(latency, base_latency, gmacs, base_gmacs) > 0, "latency or MACs of zero"
    if gmacs > (1 - SMALLEST_SAVING) * base_gmacs:
        return None
    return (base_latency / latency - 1) / (base_gmacs / gmacs - 1)


def rho_values(runs: list[RunSummary], base_runs: list[RunSummary]) -> list[float]:
    """Values of rho for each run that has a latency, against that of PVTv2 timed beside it.

    Where a run has no `base_latency_ms_per_image`, the mean latency of `base_runs` stands for it.
    """
    others = list(metric_by_seed(base_runs, "latency_ms_per_image").values())
    values = []
    for run in runs:
        base_latency = run.metrics.get("base_latency_ms_per_image", mean(others) if others else None)
        needed = [run.metrics.get(key) for key in ("latency_ms_per_image", "gmacs_mean", "base_gmacs")]
        if base_latency and all(needed):
            latency, gmacs, base_gmacs = (value for value in needed if value)
            values.append(rho(latency, base_latency, gmacs, base_gmacs))
    return [value for value in values if value is not None]


def _mean_cell(values: list[float], decimals: int) -> Cell:
    """Mean alone: the spread over seeds of such a figure says nothing that a reader needs."""
    if not values:
        return missing()
    return Cell(fixed(mean(values), decimals), mean(values), "measured", sample_sd(values), n=len(values))


def _spread_cell(values: list[float], decimals: int) -> Cell:
    if not values:
        return missing()
    summary = summarise(values)
    text = with_sd(fixed(summary.mean, decimals), summary.sd, decimals)
    return Cell(text, summary.mean, "measured", summary.sd, summary.interval, summary.n)


def _images_cell(values: list[float]) -> Cell:
    if not values:
        return missing()
    return Cell(f"{round(mean(values)):,}", mean(values), "measured", sample_sd(values), n=len(values))
