"""Decisions on simulated runs: none of 200 comparisons of equals raises an alarm, all planted changes are caught."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from dit_bench.recipes.tolerances import SpeedTolerance
from dit_bench.report.check_statistics import FAMILY_LEVEL, decide_means, decide_times, smallest_p

FAMILY = 200
QUALITY = {"allowed": 0.5, "limit": 5.0, "higher_is_better": True}
SPEED = SpeedTolerance()


def _speed(baseline: list[float], now: list[float]) -> str:
    return decide_times(baseline, now, threshold_percent=SPEED.threshold_percent, p=SPEED.p).verdict


@pytest.mark.parametrize("stream", range(3))
@pytest.mark.parametrize(("seeds", "sd"), [(2, 0.3), (3, 0.6), (5, 1.0), (10, 1.5)])
def test_200_comparisons_of_equal_networks_raise_no_alarm(stream: int, seeds: int, sd: float) -> None:
    rng = np.random.default_rng([stream, seeds])
    draws = [(rng.normal(75, sd, seeds).tolist(), rng.normal(75, sd, seeds).tolist()) for _ in range(FAMILY)]
    verdicts = [decide_means(before, now, **QUALITY, family=FAMILY).verdict for before, now in draws]
    assert set(verdicts) <= {"holds", "undecided"}
    if sd / math.sqrt(seeds) > 0.3:
        assert "undecided" in verdicts, "the simulated noise never exceeded what is allowed: too easy a test"


@pytest.mark.parametrize("stream", range(3))
@pytest.mark.parametrize(("rounds", "scatter"), [(7, 0.01), (15, 0.02), (15, 0.03)])
def test_200_timings_of_equal_networks_raise_no_alarm(stream: int, rounds: int, scatter: float) -> None:
    rng = np.random.default_rng([stream, rounds, 7])
    draws = 0.4 * np.exp(rng.normal(0, scatter, (FAMILY, 2, rounds)))
    assert {_speed(before.tolist(), now.tolist()) for before, now in draws} == {"holds"}


@pytest.mark.parametrize(("rounds", "scatter"), [(7, 0.01), (15, 0.02), (15, 0.03)])
def test_every_slowdown_of_10_percent_is_caught(rounds: int, scatter: float) -> None:
    rng = np.random.default_rng([rounds, 11])
    draws = 0.4 * np.exp(rng.normal(0, scatter, (FAMILY, 2, rounds)))
    assert {_speed(before.tolist(), (1.1 * now).tolist()) for before, now in draws} == {"slower"}
    assert {_speed((1.1 * before).tolist(), now.tolist()) for before, now in draws} == {"faster"}


def test_a_significant_change_below_the_threshold_holds_and_a_large_one_by_chance_too() -> None:
    rng = np.random.default_rng(5)
    steady = (0.4 * np.exp(rng.normal(0, 0.001, 15))).tolist()
    assert _speed(steady, [1.03 * value for value in steady]) == "holds"
    wild = decide_times([1.0, 2.0] * 8, [1.2, 1.9] * 8, threshold_percent=1, p=0.002)
    assert abs(wild.change_percent) > 1
    assert wild.verdict == "holds"


def test_too_few_rounds_can_never_fail_and_say_so() -> None:
    assert _speed([1.0] * 6, [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]) == "too few"
    assert _speed([1 + k / 100 for k in range(7)], [2 + k / 100 for k in range(7)]) == "slower"


@pytest.mark.parametrize("counts", [(3, 4), (5, 5), (2, 7)])
def test_the_smallest_p_counts_the_orders_of_samples(counts: tuple[int, int]) -> None:
    orders = len(list(combinations(range(sum(counts)), counts[0])))
    assert smallest_p(*counts) == pytest.approx(2 / orders)
    below, above = list(range(counts[0])), [100 + k for k in range(counts[1])]
    assert decide_times([float(v + 1) for v in below], [float(v) for v in above], threshold_percent=5, p=0.9).p == (
        pytest.approx(2 / orders)
    )


def test_a_clear_drop_is_worse_and_a_clear_rise_better() -> None:
    before, now = [88.0, 88.4, 87.8], [70.0, 70.3, 69.9]
    assert decide_means(before, now, allowed=0.5, limit=50, higher_is_better=True, family=60).verdict == "worse"
    assert decide_means(now, before, allowed=0.5, limit=50, higher_is_better=True, family=60).verdict == "better"
    assert decide_means(before, now, allowed=0.5, limit=50, higher_is_better=False, family=60).verdict == "better"


def test_a_significant_difference_within_what_is_allowed_holds() -> None:
    found = decide_means([50.0, 50.01, 50.02], [50.3, 50.31, 50.32], **QUALITY, family=1)
    assert found.p is not None
    assert found.p < FAMILY_LEVEL
    assert found.verdict == "holds"


def test_more_comparisons_ask_for_stronger_evidence() -> None:
    before, now = [75.0, 75.6, 74.4], [73.0, 73.6, 72.4]
    alone = decide_means(before, now, **QUALITY, family=1)
    among = decide_means(before, now, **QUALITY, family=100)
    assert alone.p == among.p
    assert among.level == pytest.approx(alone.level / 100)
    assert among.verdict == "undecided"


@pytest.mark.parametrize(("change", "verdict"), [(-3.0, "holds"), (3.0, "holds"), (-3.1, "worse"), (3.1, "better")])
def test_of_one_seed_only_the_limit_counts(change: float, verdict: str) -> None:
    found = decide_means([75.0], [75.0 + change], allowed=0.5, limit=3.0, higher_is_better=True, family=1)
    assert found.p is None
    assert found.verdict == verdict


def test_the_limit_holds_whatever_the_noise() -> None:
    noisy = decide_means(
        [60.0, 80.0, 70.0], [55.0, 75.0, 65.0], allowed=0.5, limit=4.0, higher_is_better=True, family=9
    )
    assert noisy.p is not None
    assert noisy.p > 0.3
    assert noisy.verdict == "worse"
