"""The decisions behind a check: whether a difference may be chance, and whether it is large enough to matter.

Chance is judged over all comparisons of one check together. With m comparisons of means, each is made at the level
FAMILY_LEVEL / m (Bonferroni), so that a check of unchanged networks raises a false alarm in at most 1 % of all cases,
however many rows and metrics it covers; half of these would be improvements, and a difference must exceed what is
allowed besides. The price is power: the more is compared with few seeds, the larger a difference must be to be seen.
The `limit` stands outside of this arithmetic: it must be chosen well above the noise (six standard deviations of the
difference of two means, sd * sqrt(1/n + 1/m), are exceeded by chance once in 10^9 cases).

Times are judged at p < 0.002, two-sided: of 200 comparisons of equal networks 0.2 fall below it as slower. What makes
false alarms rare is the second condition, that the median moves by more than the threshold: with 15 rounds whose ratios
scatter by 3 %, a median scatters by about 1 %, the difference of two by 1.4 %, and 5 % is 3.6 standard deviations
away. Both conditions together: fewer than one false alarm in 5,000 comparisons. Rounds of one process share what
differs between processes (memory layout, clock), which no test over rounds can see; the threshold must cover it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from dit_bench.report.statistics import mean, welch_t_test

FAMILY_LEVEL = 0.01
"""Probability of any false alarm among all comparisons of means of one check, at most."""
_SLACK = 1e-9
"""Absorbs binary rounding where a difference is exactly what is allowed."""

MeansVerdict = Literal["holds", "undecided", "worse", "better"]
TimesVerdict = Literal["holds", "slower", "faster", "too few"]


@dataclass(frozen=True)
class MeansDecision:
    """Two groups of seeds, compared."""

    verdict: MeansVerdict
    difference: float
    """Mean now minus mean of the baseline, in the metric's unit."""
    p: float | None
    """Two-sided, of Welch's test; None where one side has a single seed."""
    level: float
    """What p had to be below."""


@dataclass(frozen=True)
class TimesDecision:
    """Two groups of rounds, compared."""

    verdict: TimesVerdict
    change_percent: float
    """Of the median ratio."""
    p: float
    smallest_p: float
    """What the test gives at best with so many rounds."""


def decide_means(
    baseline: Sequence[float],
    now: Sequence[float],
    *,
    allowed: float,
    limit: float,
    higher_is_better: bool | None,
    family: int,
) -> MeansDecision:
    """Whether the mean over seeds moved: by more than `allowed` and more than chance explains, or beyond `limit`.

    `allowed` and `limit` are in the metric's unit; `family` is the number of such comparisons in the whole check. With
    one seed on either side only the limit counts. A difference above `allowed` that may be chance is `undecided`. Where
    nobody knows which direction is better (None), both are worse.
    """
    assert family >= 1
    compared = welch_t_test(now, baseline)
    difference, level = compared.mean, FAMILY_LEVEL / family
    direction: MeansVerdict = "better" if (difference > 0) == higher_is_better else "worse"
    size = abs(difference) - _SLACK * (1 + abs(mean(baseline)))
    if size <= allowed or (compared.p is None and size <= limit):
        verdict: MeansVerdict = "holds"
    elif size > limit or (compared.p is not None and compared.p < level):
        verdict = direction
    else:
        verdict = "undecided"
    return MeansDecision(verdict, difference, compared.p, level)


def decide_times(
    baseline: Sequence[float], now: Sequence[float], *, threshold_percent: float, p: float
) -> TimesDecision:
    """Whether a network became slower or faster, from its time over a reference's, round by round.

    Changed: Mann-Whitney's two-sided test gives less than `p`, and the median moved by more than the threshold. With so
    few rounds that no samples whatever could reach `p`, nothing can be said: `too few`.
    """
    from scipy.stats import mannwhitneyu

    change = 100 * (median(now) / median(baseline) - 1)
    found = float(mannwhitneyu(now, baseline, alternative="two-sided").pvalue)
    smallest = smallest_p(len(baseline), len(now))
    if smallest >= p:
        return TimesDecision("too few", change, found, smallest)
    changed = found < p and abs(change) > threshold_percent
    verdict: TimesVerdict = "holds" if not changed else "slower" if change > 0 else "faster"
    return TimesDecision(verdict, change, found, smallest)


def smallest_p(count: int, other: int) -> float:
    """The smallest two-sided p that Mann-Whitney's exact test can give: all samples of one side below the other's."""
    return 2 / math.comb(count + other, count)
