"""What the benchmark's tables, files and figures read of a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Estimate(Protocol):
    """A median and its interval."""

    @property
    def median(self) -> float:
        """Median of the samples."""
        ...

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        ...

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        ...

    @property
    def coverage(self) -> float:
        """Probability that such an interval encloses the true median."""
        ...


class SpeedUp(Protocol):
    """Baseline over ours: by MACs and by the clock."""

    @property
    def ideal(self) -> float:
        """Ratio of MACs."""
        ...

    @property
    def real(self) -> Estimate:
        """Ratio of times."""
        ...

    @property
    def rho(self) -> Estimate | None:
        """(real − 1) / (ideal − 1), where that means something."""
        ...

    @property
    def verdict(self) -> str:
        """`faster`, `slower` or `within noise`."""
        ...


class WarmUp(Protocol):
    """Rounds that were thrown away."""

    @property
    def rounds(self) -> int:
        """How many."""
        ...

    @property
    def settled(self) -> bool:
        """Whether the last two agreed."""
        ...


class Measured(Protocol):
    """One network, timed."""

    @property
    def kind(self) -> str:
        """`dit`, or the baseline's name."""
        ...

    @property
    def form(self) -> str:
        """`eager` or `compiled`."""
        ...

    @property
    def macs_per_image(self) -> float:
        """Executed MACs, mean over the batch."""
        ...

    @property
    def seconds(self) -> Sequence[float]:
        """Of the batch, per round."""
        ...

    @property
    def time(self) -> Estimate:
        """Seconds of the batch."""
        ...

    @property
    def peak_bytes(self) -> int | None:
        """Peak memory."""
        ...


class Case(Protocol):
    """One network on one batch."""

    @property
    def name(self) -> str:
        """Model, or recipe and row."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def batch(self) -> int:
        """Images."""
        ...

    @property
    def kept_mean(self) -> float:
        """Share of tokens kept per node, mean over images."""
        ...


class BenchLine(Case, Protocol):
    """One network against one baseline."""

    @property
    def keep(self) -> float | None:
        """Keep ratio that was asked for."""
        ...

    @property
    def spread(self) -> float | None:
        """Spread over the images that was asked for."""
        ...

    @property
    def kept_sd(self) -> float:
        """Standard deviation over images of the share kept."""
        ...

    @property
    def ours(self) -> Measured:
        """The routed network."""
        ...

    @property
    def baseline(self) -> Measured:
        """What it is compared with."""
        ...

    @property
    def speed_up(self) -> SpeedUp:
        """Of ours over the baseline."""
        ...

    @property
    def warm_up(self) -> WarmUp:
        """Before the measurement."""
        ...


class CountingLine(Case, Protocol):
    """Evaluation with and without counting."""

    @property
    def plain_seconds(self) -> Sequence[float]:
        """Without, per round."""
        ...

    @property
    def counted_seconds(self) -> Sequence[float]:
        """With, per round."""
        ...

    @property
    def overhead(self) -> Estimate:
        """Share by which counting is slower."""
        ...


def estimate_json(found: Estimate | None) -> dict[str, Any] | None:
    """Median, ends and coverage of an interval."""
    if found is None:
        return None
    return {"median": found.median, "low": found.low, "high": found.high, "coverage": found.coverage}


def line_json(line: BenchLine) -> dict[str, Any]:
    """A comparison with its raw seconds."""
    return {
        "name": line.name,
        "image_size_px": list(line.image_size),
        "batch": line.batch,
        "keep": line.keep,
        "spread": line.spread,
        "kept_mean": line.kept_mean,
        "kept_sd": line.kept_sd,
        "ours": _measured_json(line.ours),
        "baseline": _measured_json(line.baseline),
        "ideal_speed_up": line.speed_up.ideal,
        "real_speed_up": estimate_json(line.speed_up.real),
        "verdict": line.speed_up.verdict,
        "rho": estimate_json(line.speed_up.rho),
        "warm_up": {"rounds": line.warm_up.rounds, "settled": line.warm_up.settled},
    }


def counting_json(line: CountingLine) -> dict[str, Any]:
    """The cost of counting with its raw seconds."""
    return {
        "name": line.name,
        "image_size_px": list(line.image_size),
        "batch": line.batch,
        "kept_mean": line.kept_mean,
        "plain_seconds": list(line.plain_seconds),
        "counted_seconds": list(line.counted_seconds),
        "overhead": estimate_json(line.overhead),
    }


def _measured_json(measured: Measured) -> dict[str, Any]:
    return {
        "network": measured.kind,
        "form": measured.form,
        "macs_per_image": measured.macs_per_image,
        "seconds": list(measured.seconds),
        "peak_bytes": measured.peak_bytes,
    }
