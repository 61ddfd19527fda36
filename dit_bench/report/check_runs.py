"""Finished runs against their baseline: the same images, the same figures, or figures as near as is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dit_bench.recipes.metrics import METRIC_NAMES, is_time
from dit_bench.recipes.tolerances import Tolerance
from dit_bench.report.check_images import check_images
from dit_bench.report.check_result import CheckLine, CheckVerdict
from dit_bench.report.check_statistics import MeansDecision, decide_means
from dit_bench.report.statistics import mean
from dit_bench.runs.baseline import BaselineRow, BaselineRun

_LOWER_IS_BETTER = ("gmacs", "fvcore_gmacs", "loss", "params")
_IMAGE_FIGURES = {"top1_percent", "top5_percent"}
"""Figures that one image more or less changes by 100 / n."""
_UNKNOWN = Tolerance(kind="ignore")
"""Of figures that metrics of other packages give, where the recipe says nothing of them."""


@dataclass(frozen=True)
class RowRuns:
    """What the recipe and the results folder hold of one row now."""

    row: str
    settings_hash: str | None
    """None where the recipe has no such row, or not in this profile."""
    settings_changes: Sequence[str]
    """What differs from the baseline's settings, one line each."""
    tolerances: Mapping[str, Tolerance]
    runs: Mapping[int, BaselineRun]
    """By seed; those that are missing are not in it."""
    missing: Mapping[int, str]
    """Why a seed's run is not there, and what makes it."""
    refusal: str = ""
    """Why there is no such row."""


def count_tests(baseline: BaselineRow, found: RowRuns) -> int:
    """How many comparisons of means `check_row` will make: the size of the family that they are judged in."""
    if not _comparable(baseline, found):
        return 0
    pairs = _pairs(baseline, found)
    return sum(_tested(metric, pairs, found.tolerances) for metric in _metrics(pairs)) if len(pairs) > 1 else 0


def check_row(baseline: BaselineRow, found: RowRuns, family: int) -> list[CheckLine]:
    """All lines of one row; `family` is the number of comparisons of means in the whole check."""
    if found.settings_hash is None:
        return [CheckLine(found.row, "row", "missing", note=found.refusal)]
    if found.settings_hash != baseline.settings_hash:
        note = f"the recipe's settings changed: {'; '.join(found.settings_changes)}"
        return [
            CheckLine(
                found.row, "settings", "changed", None, baseline.settings_hash, found.settings_hash, "exact", note
            )
        ]
    lines = [CheckLine(found.row, "settings", "holds", None, baseline.settings_hash, found.settings_hash, "exact")]
    lines += [
        CheckLine(found.row, "run", "missing", None, f"seed {run.seed}", "—", note=found.missing[run.seed])
        for run in baseline.runs
        if run.seed not in found.runs
    ]
    pairs = _pairs(baseline, found)
    if not pairs:
        return lines
    lines += check_images(found.row, pairs)
    lines += [_metric(found, metric, pairs, family) for metric in _metrics(pairs) if _compared(metric, pairs, found)]
    return lines


def _comparable(baseline: BaselineRow, found: RowRuns) -> bool:
    return found.settings_hash == baseline.settings_hash


def _pairs(baseline: BaselineRow, found: RowRuns) -> list[tuple[BaselineRun, BaselineRun]]:
    return [(run, found.runs[run.seed]) for run in baseline.runs if run.seed in found.runs]


def _metrics(pairs: Sequence[tuple[BaselineRun, BaselineRun]]) -> list[str]:
    named = {metric: None for pair in pairs for run in pair for metric in run.metrics}
    return [metric for metric in named if not is_time(metric)]


def same_weights(pair: tuple[BaselineRun, BaselineRun]) -> bool:
    """Whether both runs ended in the same bytes."""
    return pair[0].weights_sha256 is not None and pair[0].weights_sha256 == pair[1].weights_sha256


def _must_be_equal(metric: str, pair: tuple[BaselineRun, BaselineRun], tolerance: Tolerance) -> bool:
    """Whether a metric of two runs must be the same to the last digit, or on a GPU to the image."""
    if tolerance.kind == "exact":
        return True
    on_gpu = any(run.machine.on_gpu for run in pair)
    return same_weights(pair) and (not on_gpu or metric in _IMAGE_FIGURES)


def _compared(metric: str, pairs: Sequence[tuple[BaselineRun, BaselineRun]], found: RowRuns) -> bool:
    tolerance = found.tolerances.get(metric)
    if tolerance is None:
        return True
    return tolerance.kind != "ignore" or any(_must_be_equal(metric, pair, tolerance) for pair in pairs)


def _tested(metric: str, pairs: Sequence[tuple[BaselineRun, BaselineRun]], tolerances: Mapping[str, Tolerance]) -> bool:
    tolerance = tolerances.get(metric, _UNKNOWN)
    return tolerance.kind == "seeds" and not all(_must_be_equal(metric, pair, tolerance) for pair in pairs)


def _metric(found: RowRuns, metric: str, pairs: Sequence[tuple[BaselineRun, BaselineRun]], family: int) -> CheckLine:
    """One metric over all seeds; the first thing wrong decides."""
    tolerance, seeds = found.tolerances.get(metric, _UNKNOWN), len(pairs)
    for side, name in ((0, "the baseline has it"), (1, "the baseline lacks it")):
        lacking = [
            pair[1 - side].seed
            for pair in pairs
            if metric in pair[side].metrics and metric not in pair[1 - side].metrics
        ]
        if lacking:
            verdict: CheckVerdict = "missing" if side == 0 else "new"
            note = f"{name}, {_seeds(lacking)} {'lack' if len(lacking) > 1 else 'lacks'} it" if side == 0 else name
            return CheckLine(found.row, metric, verdict, seeds, note=note)
    before, now = ([pair[side].metrics[metric] for pair in pairs] for side in (0, 1))
    equal = [pair for pair in pairs if _must_be_equal(metric, pair, tolerance)]
    other = [pair for pair in equal if not _equal(metric, pair)]
    exact = "exact" if tolerance.kind == "exact" else "exact: same weights"
    if any(run.machine.on_gpu for pair in equal for run in pair) and metric in _IMAGE_FIGURES:
        exact = "±1 image: same weights, GPU"
    if other:
        pair = other[0]
        verdict = "changed"
        note = f"must be equal and differs for {_seeds([run.seed for run, _ in other])}"
        return CheckLine(
            found.row, metric, verdict, seeds, repr(pair[0].metrics[metric]), repr(pair[1].metrics[metric]), exact, note
        )
    if metric not in found.tolerances and not equal:
        note = f"a figure of another package; say how far it may move under check: plugins: {metric}:"
        return CheckLine(found.row, metric, "not compared", seeds, _figure(before), _figure(now), note=note)
    if len(equal) == len(pairs) or tolerance.kind == "ignore":
        return CheckLine(found.row, metric, "holds", seeds, _figure(before), _figure(now), exact)
    assert tolerance.allowed is not None
    assert tolerance.limit is not None
    unit = abs(mean(before)) / 100 if tolerance.unit == "percent" else 1.0
    decision = decide_means(
        before,
        now,
        allowed=tolerance.allowed * unit,
        limit=tolerance.limit * unit,
        higher_is_better=_higher_is_better(metric, tolerance),
        family=max(family, 1),
    )
    verdict = "regression" if decision.verdict == "worse" else decision.verdict
    note = "" if verdict == "holds" else _reason(decision, unit, tolerance)
    return CheckLine(found.row, metric, verdict, seeds, _figure(before), _figure(now), _allowed(tolerance, seeds), note)


def _equal(metric: str, pair: tuple[BaselineRun, BaselineRun]) -> bool:
    before, now = (run.metrics[metric] for run in pair)
    if before == now or metric not in _IMAGE_FIGURES or not any(run.machine.on_gpu for run in pair):
        return before == now
    # Half an image absorbs the rounding of the percentage.
    return pair[0].num_images == pair[1].num_images and abs(now - before) * pair[0].num_images / 100 < 1.5


def _higher_is_better(metric: str, tolerance: Tolerance) -> bool | None:
    if tolerance.better is not None:
        return tolerance.better == "higher"
    if metric in METRIC_NAMES:
        return not metric.startswith(_LOWER_IS_BETTER)
    return None


def _reason(decision: MeansDecision, unit: float, tolerance: Tolerance) -> str:
    sign = "+" if decision.difference > 0 else "−"
    moved = f"moved by {sign}{abs(decision.difference) / unit:.3g} {_unit(tolerance)}"
    if decision.p is None:
        return f"{moved}; one seed is weak evidence"
    return f"{moved}; p = {decision.p:.2g}, significant below {decision.level:.2g}"


def _allowed(tolerance: Tolerance, seeds: int) -> str:
    if seeds == 1:
        return f"±{tolerance.limit:g} {_unit(tolerance)}, one seed"
    return f"±{tolerance.allowed:g} {_unit(tolerance)} or noise, ±{tolerance.limit:g} at most"


def _unit(tolerance: Tolerance) -> str:
    return "%" if tolerance.unit == "percent" else "points"


def _figure(values: Sequence[float]) -> str:
    return f"{mean(values):.6g}"


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
