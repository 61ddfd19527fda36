"""Measured time of networks against each other: interleaved rounds in one process, medians and their intervals.

Every interval is distribution-free: the k-th smallest and k-th largest of n samples enclose the median of whatever they
are drawn from with a probability that depends on n and k alone (binomial with p = 1/2), so outliers need no model.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

CONFIDENCE = 0.95
FEWEST_ROUNDS = 6
"""With fewer samples not even their whole range encloses the median with 95 %."""
WARMUP_TOLERANCE = 0.02
MOST_WARMUP_ROUNDS = 10
IDEAL_TOO_NEAR_1 = 0.01
"""Where MACs promise less than this, rho would divide by noise."""

Run = Callable[[], object]
Stopwatch = Callable[[Run], float]
"""Seconds of one call."""
Verdict = Literal["faster", "slower", "within noise"]


@dataclass(frozen=True)
class Estimate:
    """The median of n samples and an interval for it."""

    median: float
    low: float
    high: float
    coverage: float
    """Probability that such an interval encloses the true median: at least 0.95."""


@dataclass(frozen=True)
class SpeedUp:
    """What MACs promise and what the clock says, both as baseline over ours: above 1, ours is better."""

    ideal: float
    real: Estimate
    rho: Estimate | None
    """(real − 1) / (ideal − 1); None where the ideal is within 1 % of 1. With an ideal below 1, more is worse."""

    @property
    def verdict(self) -> Verdict:
        """Whether the interval of the real speed-up leaves 1 out, and on which side."""
        if self.real.low > 1:
            return "faster"
        return "slower" if self.real.high < 1 else "within noise"


@dataclass(frozen=True)
class WarmUp:
    """Rounds that were thrown away before the measurement."""

    rounds: int
    settled: bool
    """Whether the last two agreed; if not, the cap was reached."""


def wall_stopwatch(clock: Callable[[], float] = time.perf_counter) -> Stopwatch:
    """Times by the clock of the host; what is timed must wait for its own work before it returns."""

    def seconds(run: Run) -> float:
        start = clock()
        run()
        return clock() - start

    return seconds


def cuda_stopwatch(device: torch.device) -> Stopwatch:
    """Times by CUDA events, from an idle device until it is idle again, so that no work hides behind other work."""

    def seconds(run: Run) -> float:
        with torch.cuda.device(device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(device)
            start.record()
            run()
            end.record()
            torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1e3

    return seconds


def warm_up(
    runs: Sequence[Run],
    stopwatch: Stopwatch,
    *,
    tolerance: float = WARMUP_TOLERANCE,
    most_rounds: int = MOST_WARMUP_ROUNDS,
) -> WarmUp:
    """Run everything until each callable takes the same time twice in a row within `tolerance`, or the cap."""
    previous: list[float] = []
    for count in range(1, most_rounds + 1):
        taken = [stopwatch(run) for run in runs]
        if previous and all(abs(now - then) <= tolerance * then for now, then in zip(taken, previous, strict=True)):
            return WarmUp(count, True)
        previous = taken
    return WarmUp(most_rounds, False)


def timed_rounds(runs: Sequence[Run], stopwatch: Stopwatch, *, rounds: int) -> list[list[float]]:
    """Seconds `[run][round]`: each round times all callables once, so that drift of the machine hits them alike.

    Every other round goes backwards, so that none always follows the same other.
    """
    samples: list[list[float]] = [[] for _ in runs]
    for number in range(rounds):
        order = range(len(runs)) if number % 2 == 0 else reversed(range(len(runs)))
        for index in order:
            samples[index].append(stopwatch(runs[index]))
    return samples


def interleaved_seconds(
    runs: Sequence[Run],
    *,
    rounds: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Median seconds of each callable over interleaved rounds, after `warmup` rounds that do not count.

    The callables must wait for their own work (synchronise) before they return.
    """
    for _ in range(warmup):
        for run in runs:
            run()
    return [statistics.median(taken) for taken in timed_rounds(runs, wall_stopwatch(clock), rounds=rounds)]


def estimate(samples: Sequence[float]) -> Estimate:
    """Median of at least 6 samples and the narrowest symmetric pair of order statistics that covers it with 95 %."""
    assert len(samples) >= FEWEST_ROUNDS, f"{len(samples)} samples give no 95 % interval"
    ordered = sorted(samples)
    rank, coverage = _interval_rank(len(ordered))
    return Estimate(statistics.median(ordered), ordered[rank - 1], ordered[-rank], coverage)


def speed_up(ours: Sequence[float], baseline: Sequence[float], *, ideal: float) -> SpeedUp:
    """Speed-up of `ours` over `baseline` from seconds of the same rounds, round by round; `ideal` is the MACs' ratio.

    rho is a straight line in the real speed-up, so its interval is the image of that one's.
    """
    real = estimate([other / own for own, other in zip(ours, baseline, strict=True)])
    if abs(ideal - 1) <= IDEAL_TOO_NEAR_1:
        return SpeedUp(ideal, real, None)
    median, *ends = ((value - 1) / (ideal - 1) for value in (real.median, real.low, real.high))
    return SpeedUp(ideal, real, Estimate(median, min(ends), max(ends), real.coverage))


def _interval_rank(count: int) -> tuple[int, float]:
    """The largest k whose k-th order statistics from both ends cover the median with 95 %, and that coverage.

    The median lies outside if fewer than k samples fall on one side of it: 2 · P(Binomial(n, 1/2) < k).
    """
    rank, outside = 1, 2 / 2**count
    while True:
        wider = outside + 2 * math.comb(count, rank) / 2**count
        if wider > 1 - CONFIDENCE:
            return rank, 1 - outside
        rank, outside = rank + 1, wider
