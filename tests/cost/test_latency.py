"""Statistics of measured times on times that are known: nothing here depends on the machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from scipy.stats import binom

from dit_bench.cost.latency import (
    FEWEST_ROUNDS,
    cuda_stopwatch,
    estimate,
    interleaved_seconds,
    speed_up,
    timed_rounds,
    wall_stopwatch,
    warm_up,
)


class FakeClock:
    """Time passes only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def worker(self, *seconds: float) -> Callable[[], None]:
        """A callable that takes these seconds in turn, the last for ever after."""
        left = list(seconds)

        def work() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


@pytest.mark.parametrize(("count", "rank"), [(6, 1), (7, 1), (8, 1), (9, 2), (15, 4), (20, 6), (50, 18)])
def test_the_interval_is_the_one_of_the_binomial_tables(count: int, rank: int) -> None:
    """Ranks as printed in tables of the sign test at 5 %, two-sided."""
    found = estimate([float(k) for k in range(count, 0, -1)])
    assert (found.low, found.high) == (rank, count + 1 - rank)
    assert found.coverage == pytest.approx(1 - 2 * binom.cdf(rank - 1, count, 0.5))
    assert found.coverage >= 0.95 > 1 - 2 * binom.cdf(rank, count, 0.5)
    assert found.median == (count + 1) / 2


def test_too_few_rounds_have_no_interval() -> None:
    assert 1 - 2 * binom.cdf(0, FEWEST_ROUNDS - 1, 0.5) < 0.95
    with pytest.raises(AssertionError, match="5 samples"):
        estimate([1.0] * (FEWEST_ROUNDS - 1))


def test_drift_of_the_machine_cancels_within_rounds() -> None:
    drift = [1.0, 5.0, 2.0, 9.0, 3.0, 7.0, 4.0]
    found = speed_up(drift, [1.5 * seconds for seconds in drift], ideal=2.0)
    assert (found.real.low, found.real.median, found.real.high) == pytest.approx((1.5, 1.5, 1.5))
    assert found.rho is not None
    assert found.rho.median == pytest.approx(0.5)
    assert found.verdict == "faster"


def test_the_verdict_says_when_1_is_in_the_interval() -> None:
    one = [1.0] * 7
    assert speed_up(one, [0.9, 0.95, 1.3, 1.3, 1.3, 1.4, 1.5], ideal=1.5).verdict == "within noise"
    assert speed_up(one, [0.9, 0.9, 0.8, 0.7, 0.99, 0.9, 0.9], ideal=1.5).verdict == "slower"
    assert speed_up(one, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], ideal=1.5).verdict == "within noise"


def test_rho_of_a_network_that_should_be_slower() -> None:
    found = speed_up([1.0] * 7, [0.2, 0.25, 0.25, 0.25, 0.25, 0.25, 0.4], ideal=0.5)
    assert found.rho is not None
    assert (found.rho.low, found.rho.median, found.rho.high) == pytest.approx((1.2, 1.5, 1.6))


@pytest.mark.parametrize(
    ("ideal", "exists"), [(0.98, True), (0.991, False), (1.0, False), (1.009, False), (1.02, True)]
)
def test_rho_needs_a_promise(ideal: float, exists: bool) -> None:
    assert (speed_up([1.0] * 6, [1.1] * 6, ideal=ideal).rho is not None) is exists


def test_warm_up_ends_when_every_callable_repeats_itself() -> None:
    clock = FakeClock()
    runs = [clock.worker(9.0, 1.0), clock.worker(5.0, 4.0, 3.0, 2.0, 2.03)]
    found = warm_up(runs, wall_stopwatch(clock))
    assert (found.rounds, found.settled) == (5, True)


def test_warm_up_gives_up_at_the_cap() -> None:
    clock = FakeClock()
    found = warm_up([clock.worker(*range(1, 40))], wall_stopwatch(clock), most_rounds=4)
    assert (found.rounds, found.settled, clock.now) == (4, False, 1 + 2 + 3 + 4)


def test_every_round_times_everybody_and_every_other_backwards() -> None:
    clock, order = FakeClock(), []

    def run(name: str, seconds: float) -> Callable[[], None]:
        work = clock.worker(seconds)
        return lambda: (order.append(name), work())[1]

    seconds = timed_rounds([run("a", 1.0), run("b", 2.0), run("c", 4.0)], wall_stopwatch(clock), rounds=3)
    assert seconds == [[1.0] * 3, [2.0] * 3, [4.0] * 3]
    assert "".join(order) == "abccbaabc"


def test_medians_after_a_warm_up_that_does_not_count() -> None:
    clock = FakeClock()
    runs = [clock.worker(50.0, 50.0, 1.0, 9.0, 2.0), clock.worker(3.0)]
    assert interleaved_seconds(runs, rounds=3, clock=clock) == [2.0, 3.0]


def test_cuda_is_timed_from_idle_to_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool):
            assert enable_timing

        def record(self) -> None:
            log.append("record")

        def elapsed_time(self, end: Event) -> float:
            assert log[-1] == "idle"
            return 250.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append("idle"))
    assert cuda_stopwatch(torch.device("cuda"))(lambda: log.append("run")) == 0.25
    assert log == ["idle", "record", "run", "record", "idle"]
