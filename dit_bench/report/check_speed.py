"""Measurements of `dit-bench bench` against their baseline: times as ratios to a reference of the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from dit_bench.recipes.tolerances import SpeedTolerance
from dit_bench.report.check_result import CheckLine, CheckVerdict
from dit_bench.report.check_statistics import decide_times
from dit_bench.runs.baseline import SpeedBaseline, SpeedCase
from dit_bench.runs.baseline_files import Measurement

ToleranceOf = Callable[[str], SpeedTolerance]
"""By the name of what was timed: recipes have tolerances of their own."""


def check_speed(baseline: SpeedBaseline, found: Sequence[Measurement], tolerance_of: ToleranceOf) -> list[CheckLine]:
    """MACs and time of every case of the baseline; without a measurement all are missing."""
    measured = {case.key: (case, measurement) for measurement in found for case in measurement.cases()}
    lines: list[CheckLine] = []
    for before in baseline.cases:
        if before.key not in measured:
            note = "not measured" if found else "no measurement given: --bench FILE.json"
            lines.append(
                CheckLine(before.shown, "time ratio", "missing", None, f"{median(before.ratios):.4g}", "—", "", note)
            )
            continue
        now, measurement = measured[before.key]
        lines += _macs(before, now)
        lines.append(_time(baseline, before, now, measurement, tolerance_of(before.name)))
    return lines


def _macs(before: SpeedCase, now: SpeedCase) -> list[CheckLine]:
    """MACs of masks drawn by a fixed seed are the same each time; what learned gates decide is the run's affair."""
    if before.keep is None:
        return []
    pairs = {
        "MACs": (before.macs_per_image, now.macs_per_image),
        f"MACs of {before.against}": (before.reference_macs_per_image, now.reference_macs_per_image),
    }
    return [
        CheckLine(before.shown, name, "holds", None, f"{old:.17g}", f"{new:.17g}", "exact")
        if old == new
        else CheckLine(
            before.shown,
            name,
            "changed",
            None,
            f"{old:.17g}",
            f"{new:.17g}",
            "exact",
            f"{100 * (new / old - 1):+.3g} %",
        )
        for name, (old, new) in pairs.items()
    ]


def _time(
    baseline: SpeedBaseline, before: SpeedCase, now: SpeedCase, measurement: Measurement, tolerance: SpeedTolerance
) -> CheckLine:
    medians = f"{median(before.ratios):.4g}", f"{median(now.ratios):.4g}"
    allowed = f"±{tolerance.threshold_percent:g} %, p < {tolerance.p:g}"
    for name, old, new in (
        ("compilation", baseline.compile, measurement.compile),
        ("precision", baseline.precision, measurement.precision),
    ):
        if old != new:
            note = f"{name} was {str(old).lower()}, is {str(new).lower()}"
            return CheckLine(before.shown, "time ratio", "changed", None, *medians, allowed, note)
    old_machine, machine = baseline.machine.shown, measurement.machine.shown
    if old_machine != machine and not tolerance.across_machines:
        note = f"measured on {machine}, the baseline on {old_machine}"
        return CheckLine(before.shown, "time ratio", "not compared", None, *medians, allowed, note)
    decision = decide_times(before.ratios, now.ratios, threshold_percent=tolerance.threshold_percent, p=tolerance.p)
    note = f"median {decision.change_percent:+.1f} %, p = {decision.p:.2g}"
    if decision.verdict == "too few":
        rounds = f"{len(before.ratios)} and {len(now.ratios)} rounds can give no p below {decision.smallest_p:.2g}"
        return CheckLine(before.shown, "time ratio", "missing", None, *medians, allowed, f"too few rounds: {rounds}")
    verdict: CheckVerdict = "holds"
    if decision.verdict != "holds":
        verdict = "regression" if decision.verdict == "slower" else "better"
    return CheckLine(before.shown, "time ratio", verdict, None, *medians, allowed, note)
