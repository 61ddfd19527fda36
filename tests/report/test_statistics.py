"""Intervals and tests against scipy and hand-worked numbers; verdicts at their edges."""

import math

import numpy as np
import pytest
from scipy import stats

from dit_bench.report.statistics import (
    Comparison,
    Interval,
    Summary,
    claim_verdict,
    compare_by_seed,
    decimals_of,
    mean,
    paired_t_test,
    printed_difference,
    printed_figure,
    printed_ratio,
    sample_sd,
    summarise,
    t_interval,
    verdict,
    welch_t_test,
)

A = [83.1, 82.4, 83.9, 84.0]
B = [80.2, 81.7, 80.9, 82.5]


def test_mean_and_sd_by_hand() -> None:
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert sample_sd([1.0, 2.0, 6.0]) == pytest.approx(math.sqrt(14 / 2))
    assert sample_sd([5.0]) is None


def test_t_interval_by_hand() -> None:
    """n = 2: t(0.975, 1) = tan(0.475 pi) = 12.706; mean 3, standard error 1."""
    interval = t_interval([2.0, 4.0])
    assert interval is not None
    half = math.tan(0.475 * math.pi)
    assert (interval.low, interval.high) == (pytest.approx(3 - half), pytest.approx(3 + half))
    assert t_interval([2.0]) is None


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_t_interval_against_scipy(confidence: float) -> None:
    interval = t_interval(A, confidence)
    expected = stats.t.interval(confidence, len(A) - 1, loc=np.mean(A), scale=stats.sem(A))
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_paired_against_scipy() -> None:
    ours, theirs = paired_t_test(A, B), stats.ttest_rel(A, B)
    expected = theirs.confidence_interval(0.95)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.interval is not None
    assert (ours.interval.low, ours.interval.high) == pytest.approx((expected.low, expected.high))
    assert ours.sd == pytest.approx(np.std(np.subtract(A, B), ddof=1))


@pytest.mark.parametrize("b", [B, B[:2], [80.0, 80.0, 80.1]])
def test_welch_against_scipy(b: list[float]) -> None:
    ours, theirs = welch_t_test(A, b), stats.ttest_ind(A, b, equal_var=False)
    expected = theirs.confidence_interval(0.95)
    assert ours.p == pytest.approx(theirs.pvalue)  # pyright: ignore[reportAttributeAccessIssue]
    assert ours.interval is not None
    assert (ours.interval.low, ours.interval.high) == pytest.approx((expected.low, expected.high))


def test_pairs_by_seed_not_by_order() -> None:
    comparison = compare_by_seed({0: 1.0, 1: 5.0, 2: 9.0}, {2: 8.5, 0: 0.0, 1: 4.0})
    assert comparison is not None
    assert (comparison.test, comparison.n) == ("paired t", 3)
    assert comparison.sd == pytest.approx(sample_sd([1.0, 1.0, 0.5]))


def test_pairs_only_shared_seeds() -> None:
    comparison = compare_by_seed({0: 1.0, 1: 5.0, 2: 900.0}, {0: 0.0, 1: 4.5})
    assert comparison is not None
    assert (comparison.test, comparison.n, comparison.mean) == ("paired t", 2, 0.75)


def test_other_seeds_are_compared_by_welch() -> None:
    comparison = compare_by_seed({0: 1.0, 1: 5.0}, {1: 0.0, 2: 4.5})
    assert comparison is not None
    assert (comparison.test, comparison.mean) == ("Welch", 0.75)


def test_one_seed_has_no_test() -> None:
    comparison = compare_by_seed({0: 84.0}, {0: 83.0})
    assert comparison == Comparison(1.0, None, None, None, "none", 1, 1, 1)
    assert compare_by_seed({0: 84.0}, {}) is None
    mixed = compare_by_seed({0: 84.0}, {0: 83.0, 1: 81.0})
    assert mixed is not None
    assert (mixed.mean, mixed.interval, mixed.p) == (2.0, None, None)


@pytest.mark.parametrize(("value", "decimals"), [(83.1, 1), (4.0, 1), (15.64, 2), (290, 0), (-2.4, 1), (1e-7, 7)])
def test_decimals_of(value: float, decimals: int) -> None:
    assert decimals_of(value) == decimals


@pytest.mark.parametrize(
    ("ours", "expected"),
    [(83.1, "match"), (83.149, "match"), (83.15, "match"), (83.05, "match"), (83.16, "differs"), (83.04, "differs")],
)
def test_match_is_half_a_printed_unit(ours: float, expected: str) -> None:
    assert verdict(printed_figure(83.1), summarise([ours])) == expected


def test_half_unit_survives_binary_rounding() -> None:
    """(83.1 + 83.2) / 2 is not exactly 83.15 in binary; it still counts as half a unit."""
    assert verdict(printed_figure(83.1), summarise([83.1, 83.2])) == "match"
    assert verdict(printed_figure(83.2), summarise([83.1, 83.2])) == "match"


def test_decimals_given_override_those_read() -> None:
    assert verdict(printed_figure(83.1, 2), summarise([83.12])) == "differs"
    assert verdict(printed_figure(290.0, 0), summarise([290.4])) == "match"


def test_within_noise_needs_two_seeds() -> None:
    """Two seeds 83 and 85: the interval is 84 ± 12.7, that of one seed does not exist."""
    assert verdict(printed_figure(90.0), summarise([83.0, 85.0])) == "within noise"
    assert verdict(printed_figure(97.0), summarise([83.0, 85.0])) == "differs"
    assert verdict(printed_figure(84.5), summarise([84.0])) == "differs"
    assert verdict(printed_figure(84.5), None) == "no data"


def test_interval_borders_belong_to_it() -> None:
    ours = Summary(84.0, 1.0, Interval(83.0, 85.0), 3)
    assert verdict(printed_figure(85.0), ours) == "within noise"
    assert verdict(printed_figure(85.1), ours) == "differs"


def test_derived_figures_carry_both_roundings() -> None:
    """3.8 of 4.0 may have been anything from 3.75/4.05 to 3.85/3.95; 82.0 - 83.1 lies within a tenth of -1.1."""
    ratio = printed_ratio(printed_figure(3.8), printed_figure(4.0))
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.95, 3.75 / 4.05, 3.85 / 3.95))
    difference = printed_difference(printed_figure(82.0), printed_figure(83.1))
    assert difference.value == -1.1
    assert (difference.low, difference.high) == pytest.approx((-1.2, -1.0))


def _comparison(mean_: float, interval: Interval | None, sd: float | None = 0.5) -> Comparison:
    return Comparison(mean_, sd, interval, 0.01, "paired t", 3, 3, 3)


@pytest.mark.parametrize(
    ("comparison", "deterministic", "expected"),
    [
        (None, False, "no data"),
        (None, True, "no data"),
        (_comparison(1.0, Interval(0.5, 1.5)), False, "reproduced"),
        (_comparison(-1.0, Interval(-1.5, -0.5)), False, "contradicted"),
        (_comparison(1.0, Interval(-0.1, 2.1)), False, "undecided"),
        (_comparison(1.0, Interval(0.0, 2.0)), False, "undecided"),
        (_comparison(1.0, None, None), False, "undecided"),
        (_comparison(1.0, None, None), True, "reproduced"),
        (_comparison(-1.0, None, None), True, "contradicted"),
        (_comparison(0.0, None, None), True, "contradicted"),
        (_comparison(1.0, Interval(1.0, 1.0), 0.0), False, "undecided"),
        (_comparison(1.0, Interval(1.0, 1.0), 0.0), True, "reproduced"),
    ],
)
def test_claim_verdict(comparison: Comparison | None, deterministic: bool, expected: str) -> None:
    assert claim_verdict(comparison, deterministic=deterministic) == expected


def test_equal_differences_are_no_certainty() -> None:
    """83.1 - 82.0 and 84.2 - 83.1 differ in their last bits only: no spread, hence no decision."""
    comparison = compare_by_seed({0: 83.1, 1: 84.2}, {0: 82.0, 1: 83.1})
    assert comparison is not None
    assert comparison.without_spread
    assert claim_verdict(comparison, deterministic=False) == "undecided"
