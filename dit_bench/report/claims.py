"""Judges the orderings that a paper claims, from the runs of the two rows that each one names."""

from dit_bench.report.cells import ClaimResult
from dit_bench.report.inputs import ClaimSpec, RunSummary, TableSpec, metric_by_seed
from dit_bench.report.numbers import interval_text, p_text, shared_decimals, signed
from dit_bench.report.statistics import Comparison, claim_verdict, compare_by_seed

DETERMINISTIC_METRICS = frozenset({"base_gmacs", "fully_gmacs", "params_total_m"})
"""Metrics that follow from the architecture and the input size: the same in every run."""

_DECIMALS = {"top1_percent": 2, "top5_percent": 2}


def judge_claims(spec: TableSpec, runs: dict[str, list[RunSummary]]) -> tuple[ClaimResult, ...]:
    """Verdict and statistics for each claim of the table; `runs` maps row ids to runs."""
    return tuple(_judge(claim, runs) for claim in spec.claims)


def _judge(claim: ClaimSpec, runs: dict[str, list[RunSummary]]) -> ClaimResult:
    higher = metric_by_seed(runs.get(claim.higher, []), claim.metric)
    lower = metric_by_seed(runs.get(claim.lower, []), claim.metric)
    comparison = compare_by_seed(higher, lower)
    deterministic = (
        claim.deterministic
        or claim.metric in DETERMINISTIC_METRICS
        or (claim.metric == "gmacs_mean" and _constant(higher) and _constant(lower))
    )
    judged = claim_verdict(comparison, deterministic=deterministic)
    if comparison is None:
        lacking = [row for row, values in ((claim.higher, higher), (claim.lower, lower)) if not values]
        statement = f"no run of {' and '.join(lacking)}"
    else:
        statement = _statement(comparison, claim.metric, deterministic)
    return ClaimResult(claim, judged, comparison, statement)


def _constant(values: dict[int, float]) -> bool:
    """Whether at least two seeds agree to the last bit: a MAC count that does so does not depend on the training."""
    return len(values) >= 2 and len(set(values.values())) == 1


def _statement(comparison: Comparison, metric: str, deterministic: bool) -> str:
    """The numbers behind the verdict, as in `+2.31, 95 % interval [+1.02, +3.60], paired t, n = 3, p = 0.016`."""
    decimals = _DECIMALS.get(metric, shared_decimals([comparison.mean]))
    parts = [f"difference {signed(comparison.mean, decimals)}"]
    if deterministic:
        return f"{parts[0]}, the same in every run"
    if comparison.interval is None or comparison.p is None:
        counts = _counts(comparison)
        return f"{parts[0]}, {counts}: too few seeds to tell it from noise"
    parts.append(f"95 % interval {interval_text(comparison.interval, decimals, sign=True)}")
    parts += [comparison.test, _counts(comparison)]
    if comparison.without_spread:
        return ", ".join(parts) + ": all seeds agree exactly, so their spread is unknown"
    return ", ".join([*parts, p_text(comparison.p)])


def _counts(comparison: Comparison) -> str:
    if comparison.test == "paired t" or comparison.n_a == comparison.n_b:
        return f"n = {comparison.n}"
    return f"n = {comparison.n_a} and {comparison.n_b}"
