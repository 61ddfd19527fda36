from __future__ import annotations

from typing import Literal

import pytest

from dit_bench.recipes.row_tolerances import EXACT, LEARNED_COST
from dit_bench.recipes.tolerances import Tolerance
from dit_bench.report.check_result import FAILURES, CheckLine
from dit_bench.report.check_runs import RowRuns, check_row, count_tests
from dit_bench.runs.baseline import BaselineRow, BaselineRun
from tests.checked_runs import DIGEST, GPU, IMAGES, run_of

TOLERANCES = {
    "top1_percent": Tolerance(kind="seeds", allowed=1.0, limit=4.0),
    "gmacs_mean": EXACT,
    "params_total_m": EXACT,
}
HASH = "0123456789"


def _lines(
    before: list[BaselineRun],
    now: list[BaselineRun],
    tolerances: dict[str, Tolerance] | None = None,
    settings_hash: str | None = HASH,
) -> dict[str, CheckLine]:
    row = BaselineRow(settings_hash=HASH, settings={}, runs=before)
    missing = {run.seed: "no finished run" for run in before if run.seed not in {other.seed for other in now}}
    found = RowRuns(
        "dynamic",
        settings_hash,
        ["optimiser.lr was 1, is 2"],
        tolerances or TOLERANCES,
        {run.seed: run for run in now},
        missing,
        "no such row",
    )
    return {line.metric: line for line in check_row(row, found, count_tests(row, found))}


def _failing(lines: dict[str, CheckLine]) -> set[str]:
    return {line.metric for line in lines.values() if line.verdict in FAILURES}


def _other(seed: int, **changes: object) -> BaselineRun:
    """The same run trained anew."""
    return run_of(seed, weights_sha256="other", **changes)


def test_equal_runs_hold_and_times_are_not_compared() -> None:
    lines = _lines([run_of(0)], [run_of(0, metrics={"train_seconds": 900.0})])
    assert {line.verdict for line in lines.values()} == {"holds"}
    assert set(lines) == {
        *("settings", "num_images", "training data", "labels", "per image"),
        *("top1_percent", "gmacs_mean", "params_total_m"),
    }
    assert lines["top1_percent"].allowed == "exact: same weights"


@pytest.mark.parametrize("hits", [29, 31])
def test_one_image_more_or_less_with_the_same_weights_is_caught_on_a_cpu(hits: int) -> None:
    """Better or worse: the same weights must say the same."""
    changed = run_of(0, metrics={"top1_percent": 100 * hits / IMAGES})
    assert _failing(_lines([run_of(0)], [changed])) == {"top1_percent"}


@pytest.mark.parametrize(("hits", "caught"), [(29, False), (31, False), (28, True), (32, True)])
def test_on_a_gpu_one_image_may_differ_and_two_may_not(hits: int, caught: bool) -> None:
    digest = DIGEST.model_copy(update={"top1_hits": hits, "arrays": {**DIGEST.arrays, "records.prediction": "z"}})
    changed = run_of(0, machine=GPU, images=digest, metrics={"top1_percent": 100 * hits / IMAGES})
    for before, now in ((run_of(0), changed), (changed, run_of(0))):
        lines = _lines([before], [now])
        assert _failing(lines) == ({"top1_percent", "per image"} if caught else set())
        assert "GPU" in lines["top1_percent"].allowed


@pytest.mark.parametrize("array", ["records.prediction", "records.macs"])
def test_one_changed_image_is_caught_where_no_figure_moves(array: str) -> None:
    digest = DIGEST.model_copy(update={"arrays": {**DIGEST.arrays, array: "z"}})
    lines = _lines([run_of(0)], [run_of(0, images=digest)])
    assert _failing(lines) == {"per image"}
    assert array in lines["per image"].note


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_changed_label_is_caught_even_where_everything_was_trained_anew(seed: int) -> None:
    digest = DIGEST.model_copy(update={"arrays": {**DIGEST.arrays, "records.label": "z"}})
    now = [_other(k, images=digest if k == seed else DIGEST) for k in range(3)]
    lines = _lines([run_of(k) for k in range(3)], now)
    assert _failing(lines) == {"labels"}
    assert f"seed {seed}" in lines["labels"].note
    assert "per image" not in lines, "other weights find other things"


def test_records_that_are_gone_are_caught() -> None:
    assert _failing(_lines([run_of(0)], [run_of(0, images=None)])) == {"labels", "per image"}


@pytest.mark.parametrize("factor", [1.001, 0.999, 1 + 1e-15])
def test_exact_figures_fail_in_both_directions_and_to_the_last_digit(factor: float) -> None:
    now = _other(0, metrics={"gmacs_mean": 0.001 * factor})
    lines = _lines([run_of(0)], [now])
    assert _failing(lines) == {"gmacs_mean"}
    assert lines["gmacs_mean"].baseline != lines["gmacs_mean"].now


def test_an_exact_figure_of_one_seed_among_three_is_caught() -> None:
    now = [_other(k, metrics={"gmacs_mean": 0.001 + 1e-9 * (k == 1)}) for k in range(3)]
    lines = _lines([run_of(k) for k in range(3)], now)
    assert lines["gmacs_mean"].verdict == "changed"
    assert lines["gmacs_mean"].note == "must be equal and differs for seed 1"


@pytest.mark.parametrize(("change", "verdict"), [(-5.0, "regression"), (5.0, "better"), (-3.9, "holds")])
def test_accuracy_of_one_seed(change: float, verdict: str) -> None:
    line = _lines([run_of(0)], [_other(0, metrics={"top1_percent": 75 + change})])["top1_percent"]
    assert line.verdict == verdict
    assert (line.seeds, line.allowed) == (1, "±4 points, one seed")
    assert verdict == "holds" or "one seed is weak evidence" in line.note


def test_accuracy_over_seeds_is_judged_by_their_noise() -> None:
    before = [run_of(k, metrics={"top1_percent": 75 + 0.1 * k}) for k in range(3)]
    clear = [_other(k, metrics={"top1_percent": 72 + 0.1 * k}) for k in range(3)]
    noisy = [_other(k, metrics={"top1_percent": 72 + 4.0 * (k - 1)}) for k in range(3)]
    assert _lines(before, clear)["top1_percent"].verdict == "regression"
    assert _lines(clear, before)["top1_percent"].verdict == "better"
    assert _lines(before, noisy)["top1_percent"].verdict == "undecided"


def test_relative_tolerances_are_of_the_baseline() -> None:
    tolerances = {**TOLERANCES, "gmacs_mean": LEARNED_COST}
    for factor, verdict in ((1.049, "holds"), (1.051, "regression"), (0.949, "better")):
        lines = _lines([run_of(0)], [_other(0, metrics={"gmacs_mean": 0.001 * factor})], tolerances)
        assert lines["gmacs_mean"].verdict == verdict, "less work is better"


def test_what_is_ignored_is_compared_only_between_the_same_weights() -> None:
    tolerances = {**TOLERANCES, "gmacs_mean": Tolerance(kind="ignore")}
    assert "gmacs_mean" not in _lines([run_of(0)], [_other(0, metrics={"gmacs_mean": 9.0})], tolerances)
    assert _failing(_lines([run_of(0)], [run_of(0, metrics={"gmacs_mean": 9.0})], tolerances)) == {"gmacs_mean"}


def test_fewer_images_fail() -> None:
    lines = _lines([run_of(0)], [_other(0, num_images=IMAGES - 1)])
    assert lines["num_images"].verdict == "changed"
    assert "fewer images" in lines["num_images"].note


def test_other_training_data_fail() -> None:
    assert _failing(_lines([run_of(0)], [_other(0, data_manifest_sha256="others")])) == {"training data"}


def test_missing_things_fail_each_with_its_line() -> None:
    lacking = _other(0).model_copy(update={"metrics": {"gmacs_mean": 0.001, "params_total_m": 1.5}})
    line = _lines([run_of(0)], [lacking])["top1_percent"]
    assert (line.verdict, line.note) == ("missing", "the baseline has it, seed 0 lacks it")
    lines = _lines([run_of(0), run_of(1)], [run_of(0)])
    assert (lines["run"].verdict, lines["run"].note) == ("missing", "no finished run")
    gone = _lines([run_of(0)], [run_of(0)], settings_hash=None)
    assert [(line.metric, line.verdict, line.note) for line in gone.values()] == [("row", "missing", "no such row")]


def test_other_settings_fail_and_are_named() -> None:
    lines = _lines([run_of(0)], [run_of(0)], settings_hash="9876543210")
    assert [(line.metric, line.verdict) for line in lines.values()] == [("settings", "changed")]
    assert "optimiser.lr was 1, is 2" in lines["settings"].note


def test_a_metric_that_the_baseline_lacks_is_reported_and_fails_nothing() -> None:
    lines = _lines([run_of(0)], [run_of(0, metrics={"top5_percent": 90.0})])
    assert lines["top5_percent"].verdict == "new"
    assert _failing(lines) == set()


@pytest.mark.parametrize(
    ("better", "change", "verdict"),
    [
        ("lower", 0.3, "regression"),
        ("lower", -0.3, "better"),
        ("higher", 0.3, "better"),
        (None, 0.3, "regression"),
        (None, -0.3, "regression"),
        (None, 0.05, "holds"),
    ],
)
def test_figures_of_other_packages_move_as_far_as_the_recipe_says(
    better: Literal["higher", "lower"] | None, change: float, verdict: str
) -> None:
    own = {"calibration": Tolerance(kind="seeds", allowed=0.1, limit=0.2, better=better)}
    before, now = run_of(0, metrics={"calibration": 1.0}), _other(0, metrics={"calibration": 1 + change})
    assert _lines([before], [now], {**TOLERANCES, **own})["calibration"].verdict == verdict


def test_figures_of_other_packages_without_a_tolerance_are_exact_or_said_not_to_be_compared() -> None:
    before = run_of(0, metrics={"calibration": 1.0})
    line = _lines([before], [_other(0, metrics={"calibration": 2.0})])["calibration"]
    assert line.verdict == "not compared"
    assert "check: plugins: calibration:" in line.note
    assert _lines([before], [run_of(0, metrics={"calibration": 2.0})])["calibration"].verdict == "changed"
    assert _lines([before], [run_of(0, metrics={"calibration": 1.0})])["calibration"].verdict == "holds"


def test_the_family_counts_the_comparisons_of_means() -> None:
    row = BaselineRow(settings_hash=HASH, settings={}, runs=[run_of(0), run_of(1)])

    def family(now: dict[int, BaselineRun], settings_hash: str = HASH) -> int:
        return count_tests(row, RowRuns("dynamic", settings_hash, (), TOLERANCES, now, {}))

    assert family({0: _other(0), 1: _other(1)}) == 1, "top1_percent alone"
    assert family({0: run_of(0), 1: run_of(1)}) == 0, "the same weights are compared exactly"
    assert family({0: _other(0)}) == 0, "one seed gives no test"
    assert family({0: _other(0), 1: _other(1)}, "9876543210") == 0
