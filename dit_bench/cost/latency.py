"""Measured time of networks against each other: interleaved rounds in one process, medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def interleaved_seconds(
    runs: Sequence[Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Median seconds of each callable; every round times all of them once, so that drift hits them alike.

    The callables must wait for their own work (synchronise) before they return.
    """
    for _ in range(warmup):
        for run in runs:
            run()
    samples: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, taken in zip(runs, samples, strict=True):
            start = clock()
            run()
            taken.append(clock() - start)
    return [statistics.median(taken) for taken in samples]
