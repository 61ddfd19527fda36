"""Means, intervals and tests over seeds, and the verdicts that follow from them.

With n seeds the interval is Student's t with n - 1 degrees of freedom; one seed has no spread and so no interval.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

CONFIDENCE = 0.95
_ROUNDING_SLACK = 1e-9
"""Absorbs binary rounding where a figure lies exactly half a printed unit away."""

Verdict = Literal["match", "within noise", "differs", "no data"]
ClaimVerdict = Literal["reproduced", "contradicted", "undecided", "no data"]
Test = Literal["paired t", "Welch", "none"]


@dataclass(frozen=True)
class Interval:
    """A closed interval."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Summary:
    """Mean over n seeds; SD and confidence interval of the mean are None for n = 1."""

    mean: float
    sd: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """Difference a - b of two rows over seeds.

    `sd` is the SD of the paired differences, or sqrt(sd_a² + sd_b²) unpaired. `interval` and two-sided `p` are None if
    there are too few seeds to estimate a spread. `n` counts the pairs, or the smaller group if unpaired.
    """

    mean: float
    sd: float | None
    interval: Interval | None
    p: float | None
    test: Test
    n: int
    n_a: int
    n_b: int

    @property
    def without_spread(self) -> bool:
        """Whether all seeds give the same difference, but for binary rounding."""
        return self.sd is not None and self.sd <= _ROUNDING_SLACK * (1 + abs(self.mean))


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value, summed without rounding error."""
    assert values, "mean of no values"
    return math.fsum(values) / len(values)


def sample_sd(values: Sequence[float]) -> float | None:
    """Sample standard deviation (divisor n - 1); None for n < 2."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Confidence interval of the mean, mean ± t·sd/sqrt(n) with n - 1 degrees of freedom; None for n < 2."""
    sd = sample_sd(values)
    if sd is None:
        return None
    return _interval(mean(values), sd / math.sqrt(len(values)), len(values) - 1, confidence)


def summarise(values: Sequence[float]) -> Summary:
    """Mean, SD and 95 % interval of the mean over seeds."""
    return Summary(mean(values), sample_sd(values), t_interval(values), len(values))


def paired_t_test(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """Student's paired t test of a - b; a[k] and b[k] belong to the same seed."""
    assert len(a) == len(b) > 0, "pairs of unequal number"
    differences = [x - y for x, y in zip(a, b, strict=True)]
    n, centre, sd = len(differences), mean(differences), sample_sd(differences)
    if sd is None:
        return Comparison(centre, None, None, None, "none", n, n, n)
    error, df = sd / math.sqrt(n), n - 1
    return Comparison(centre, sd, _interval(centre, error, df), _two_sided_p(centre, error, df), "paired t", n, n, n)


def welch_t_test(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """Welch's t test of mean(a) - mean(b) with the Welch-Satterthwaite degrees of freedom."""
    difference = mean(a) - mean(b)
    sd_a, sd_b = sample_sd(a), sample_sd(b)
    n = min(len(a), len(b))
    if sd_a is None or sd_b is None:
        return Comparison(difference, None, None, None, "none", n, len(a), len(b))
    part_a, part_b = sd_a**2 / len(a), sd_b**2 / len(b)
    error = math.sqrt(part_a + part_b)
    # Two groups without spread leave 0/0; any number serves, the interval then has no width.
    df = (part_a + part_b) ** 2 / (part_a**2 / (len(a) - 1) + part_b**2 / (len(b) - 1)) if error > 0 else 1.0
    interval, p = _interval(difference, error, df), _two_sided_p(difference, error, df)
    return Comparison(difference, math.hypot(sd_a, sd_b), interval, p, "Welch", n, len(a), len(b))


def compare_by_seed(a: Mapping[int, float], b: Mapping[int, float]) -> Comparison | None:
    """Compare two rows given by seed; None if one has no values.

    Rows that share at least two seeds are paired over those (same seed: same data order); otherwise Welch's test on
    all values. With one value each that share the seed, the difference stands alone.
    """
    if not a or not b:
        return None
    shared = sorted(set(a) & set(b))
    if len(shared) >= 2 or len(a) == len(b) == len(shared) == 1:
        return paired_t_test([a[seed] for seed in shared], [b[seed] for seed in shared])
    return welch_t_test(list(a.values()), list(b.values()))


@dataclass(frozen=True)
class PrintedFigure:
    """A printed figure and the closed range of true values that round to it."""

    value: float
    low: float
    high: float


def decimals_of(value: float) -> int:
    """Decimals with which a figure was printed, as far as its shortest form tells: 83.1 has 1, 4.0 has 1, 290 has 0."""
    if isinstance(value, int):
        return 0
    text = repr(value)
    if "e" in text:
        mantissa, exponent = text.split("e")
        return max(0, len(mantissa.partition(".")[2].rstrip("0")) - int(exponent))
    return len(text.partition(".")[2])


def printed_figure(value: float, decimals: int | None = None) -> PrintedFigure:
    """The range of half a unit of the last printed digit around `value`."""
    half = 0.5 * 10.0 ** -(decimals_of(value) if decimals is None else decimals)
    return PrintedFigure(value, value - half, value + half)


def printed_difference(a: PrintedFigure, b: PrintedFigure) -> PrintedFigure:
    """The difference a - b of two printed figures, with the range that both roundings allow."""
    # Printed figures have few decimals: what lies beyond nine is binary rounding.
    return PrintedFigure(round(a.value - b.value, 9), a.low - b.high, a.high - b.low)


def printed_ratio(a: PrintedFigure, b: PrintedFigure) -> PrintedFigure:
    """The ratio a / b of two positive printed figures, with the range that both roundings allow."""
    assert b.low > 0, "ratio to a figure that may be zero"
    return PrintedFigure(a.value / b.value, a.low / b.high, a.high / b.low)


def verdict(printed: PrintedFigure, ours: Summary | Comparison | None) -> Verdict:
    """Verdict on a printed figure.

    `no data` without a run; `match` if our mean could have been printed so; `within noise` if the print lies in
    the 95 % interval of our mean (never for one seed, which has none); else `differs`.
    """
    if ours is None:
        return "no data"
    slack = _ROUNDING_SLACK * (1 + abs(printed.value))
    if printed.low - slack <= ours.mean <= printed.high + slack:
        return "match"
    if ours.interval is not None and printed.value in ours.interval:
        return "within noise"
    return "differs"


def claim_verdict(comparison: Comparison | None, *, deterministic: bool) -> ClaimVerdict:
    """Verdict on a claim "higher > lower", given the comparison higher - lower.

    Decided where the 95 % interval of the difference excludes zero. A deterministic metric needs no interval, and
    equality contradicts "higher". A spread of exactly zero in a metric that may vary is a coincidence of few seeds, not
    certainty: `undecided`.
    """
    if comparison is None:
        return "no data"
    interval = comparison.interval
    if not deterministic and (interval is None or comparison.without_spread or 0.0 in interval):
        return "undecided"
    return "reproduced" if comparison.mean > 0 else "contradicted"


def _interval(centre: float, error: float, df: float, confidence: float = CONFIDENCE) -> Interval:
    from scipy.special import stdtrit

    half = float(stdtrit(df, 0.5 + confidence / 2)) * error
    return Interval(centre - half, centre + half)


def _two_sided_p(centre: float, error: float, df: float) -> float:
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if centre == 0 else 0.0
    return 2.0 * float(stdtr(df, -abs(centre) / error))
