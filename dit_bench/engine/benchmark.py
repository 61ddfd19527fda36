"""Latency and throughput of routed networks: what MACs promise beside what the clock says, and the cost of counting."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from dit_bench.cost.formulas import Grid
from dit_bench.cost.latency import (
    Estimate,
    SpeedUp,
    Stopwatch,
    WarmUp,
    cuda_stopwatch,
    estimate,
    speed_up,
    timed_rounds,
    wall_stopwatch,
    warm_up,
)
from dit_bench.cost.memory import peak_extra_bytes
from dit_bench.engine.bench_networks import (
    Against,
    Conditions,
    Contender,
    Subject,
    baseline_contenders,
    dit_run,
    read_ledger,
    routed_contenders,
)
from dit_bench.errors import UsageError
from dit_bench.runs.provenance import collect_provenance
from dit_bench.runs.record import Provenance

ROUNDS = 15
ROUNDS_AT_LARGE_BATCH = 7
LARGE_BATCH = 9
"""From this batch on a round is long, and seven of them are enough for an interval of 95 %."""


@dataclass(frozen=True)
class Measured:
    """One network, timed."""

    kind: str
    """`dit`, or the baseline's name."""
    form: str
    """`eager` or `compiled`: the faster of those that were timed."""
    macs_per_image: float
    seconds: tuple[float, ...]
    """Per round, for the whole batch."""
    peak_bytes: int | None
    """Weights, images and what one forward pass adds; None where the device keeps no record."""

    @property
    def time(self) -> Estimate:
        """Seconds of the batch."""
        return estimate(self.seconds)


@dataclass(frozen=True)
class BenchLine:
    """One subject against one baseline."""

    name: str
    image_size: Grid
    batch: int
    keep: float | None
    spread: float | None
    """As asked for; None where the network decides."""
    kept_mean: float
    """Share of tokens kept per live node, mean over the images."""
    kept_sd: float
    """Standard deviation of that share over the images."""
    ours: Measured
    baseline: Measured
    speed_up: SpeedUp
    warm_up: WarmUp


@dataclass(frozen=True)
class CountingLine:
    """Evaluation of batches with the ledger read, beside plain evaluation of the same."""

    name: str
    image_size: Grid
    batch: int
    kept_mean: float
    plain_seconds: tuple[float, ...]
    counted_seconds: tuple[float, ...]

    @property
    def overhead(self) -> Estimate:
        """Share by which counting is slower, from the ratios of the rounds: 0.01 is 1 %."""
        ratio = estimate([c / p for c, p in zip(self.counted_seconds, self.plain_seconds, strict=True)])
        return replace(ratio, median=ratio.median - 1, low=ratio.low - 1, high=ratio.high - 1)


def default_rounds(batch: int) -> int:
    """Rounds of one comparison."""
    return ROUNDS if batch < LARGE_BATCH else ROUNDS_AT_LARGE_BATCH


def stopwatch_of(device: torch.device) -> Stopwatch:
    """CUDA events on a CUDA device, the host's clock elsewhere."""
    return cuda_stopwatch(device) if device.type == "cuda" else wall_stopwatch()


def compare(
    subject: Subject,
    against: Sequence[Against],
    conditions: Conditions,
    *,
    rounds: int | None = None,
    stopwatch: Stopwatch | None = None,
) -> list[BenchLine]:
    """Time the subject and all baselines in the same interleaved rounds; one line per baseline.

    Of a network that is timed in two forms the one with the lower median counts, ours and the baselines' alike.
    """
    if conditions.compile:
        # Graphs of earlier cases would count against the compiler's limit of shapes per network.
        torch.compiler.reset()
    stopwatch = stopwatch or stopwatch_of(conditions.device)
    ledger = read_ledger(subject, subject.masks, conditions)
    kept = subject.kept(ledger)
    contenders = routed_contenders(subject, float(ledger.macs.mean()), conditions)
    for kind in against:
        contenders += baseline_contenders(kind, subject, conditions)
    runs = [contender.run for contender in contenders]
    warmed = warm_up(runs, stopwatch)
    seconds = timed_rounds(runs, stopwatch, rounds=rounds or default_rounds(subject.batch))
    measured = {}
    for kind, group in itertools.groupby(zip(contenders, seconds, strict=True), key=lambda pair: pair[0].kind):
        measured[kind] = _fastest(group, conditions.device)
    ours = measured.pop("dit")
    return [
        BenchLine(
            subject.name,
            subject.image_size,
            subject.batch,
            subject.keep,
            subject.spread,
            float(kept.mean()),
            float(kept.std()),
            ours,
            other,
            speed_up(ours.seconds, other.seconds, ideal=other.macs_per_image / ours.macs_per_image),
            warmed,
        )
        for other in measured.values()
    ]


def counting_overhead(
    subject: Subject, conditions: Conditions, *, rounds: int | None = None, stopwatch: Stopwatch | None = None
) -> CountingLine:
    """Time packed evaluation of the subject's batch with and without reading its MACs per image from the trace."""
    stopwatch = stopwatch or stopwatch_of(conditions.device)
    plain = dit_run(subject, "packed", subject.masks, conditions)
    counted = partial(read_ledger, subject, subject.masks, conditions)
    ledger = counted()
    warm_up([plain, counted], stopwatch)
    seconds = timed_rounds([plain, counted], stopwatch, rounds=rounds or default_rounds(subject.batch))
    kept_mean = float(subject.kept(ledger).mean())
    return CountingLine(
        subject.name, subject.image_size, subject.batch, kept_mean, tuple(seconds[0]), tuple(seconds[1])
    )


def check_compiler() -> None:
    """Raise UsageError where torch's compiler has nothing to work with."""
    try:
        torch.compile(torch.nn.functional.gelu)(torch.zeros(8))
    except Exception as error:  # whatever the tool chain raises
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"--compile: torch cannot compile here: {reason}", remedy="use --no-compile") from error


def timing_provenance(device: torch.device) -> Provenance:
    """Code, packages and machine behind a measurement on `device`."""
    return collect_provenance(
        device=str(device),
        threads=torch.get_num_threads(),
        accelerator=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    )


def _fastest(group: Iterable[tuple[Contender, list[float]]], device: torch.device) -> Measured:
    contender, seconds = min(group, key=lambda pair: estimate(pair[1]).median)
    extra = peak_extra_bytes(contender.run, device)
    return Measured(
        contender.kind,
        contender.form,
        contender.macs_per_image,
        tuple(seconds),
        None if extra is None else contender.resident_bytes + extra,
    )
