from __future__ import annotations

import pytest

from dit_bench.errors import UsageError
from dit_bench.runs.baseline import BaselineRow, BaselineRun, CountedRow, RunsBaseline
from dit_bench.runs.baseline_update import MOST_CHANGES, change, differences, renewed_counts, renewed_runs
from tests.checked_runs import DIGEST, run_of
from tests.checked_runs import change as entry

HASH, OTHER_HASH = "0123456789", "9876543210"


def _row(*runs: BaselineRun, settings_hash: str = HASH) -> BaselineRow:
    return BaselineRow(settings_hash=settings_hash, settings={}, runs=list(runs))


def _renewed(
    old: RunsBaseline | None, rows: dict[str, BaselineRow], known: tuple[str, ...] = ("a", "b"), reason: str = "why"
) -> RunsBaseline:
    return renewed_runs(old, "dit/table6", "smoke", (), rows, known, entry(reason))


@pytest.fixture
def old() -> RunsBaseline:
    return _renewed(None, {"b": _row(run_of(0)), "a": _row(run_of(0), run_of(1))}, reason="first")


def test_a_new_baseline_has_the_recipes_order_and_one_entry(old: RunsBaseline) -> None:
    assert list(old.rows) == ["a", "b"]
    assert [(change.reason, change.changes) for change in old.history] == [("first", [])]


def test_what_was_not_asked_for_stays_and_the_history_grows(old: RunsBaseline) -> None:
    better = run_of(1, metrics={"top1_percent": 80.0, "train_seconds": 99.0})
    new = _renewed(old, {"a": _row(better)}, reason="better schedule")
    assert new.rows["b"] == old.rows["b"]
    assert new.rows["a"].runs == [old.rows["a"].runs[0], better]
    assert [change.reason for change in new.history] == ["first", "better schedule"]
    assert new.history[1].changes == ["a seed 1, top1_percent: 75.0 -> 80.0"]
    assert old.history[0] == new.history[0]


def test_other_settings_replace_all_seeds_of_a_row(old: RunsBaseline) -> None:
    new = _renewed(old, {"a": _row(run_of(1), settings_hash=OTHER_HASH)})
    assert [run.seed for run in new.rows["a"].runs] == [1]
    assert f"a, settings: {HASH} -> {OTHER_HASH}" in new.history[-1].changes
    assert "a seed 0, top1_percent: 75.0 -> none" in new.history[-1].changes


def test_rows_that_the_recipe_lost_are_dropped_and_said_so(old: RunsBaseline) -> None:
    new = _renewed(old, {"c": _row(run_of(0))}, known=("c", "a"))
    assert list(new.rows) == ["c", "a"]
    assert f"b, settings: {HASH} -> none" in new.history[-1].changes


def test_times_alone_are_no_change(old: RunsBaseline) -> None:
    slower = run_of(0, metrics={"train_seconds": 500.0, "latency_ms_per_image": 3.0}, run_id="x-seed0-r2")
    assert _renewed(old, {"b": _row(slower)}) is old


@pytest.mark.parametrize(
    "changes",
    [
        {"weights_sha256": "z"},
        {"data_manifest_sha256": "z"},
        {"num_images": 39},
        {"images": DIGEST.model_copy(update={"arrays": {**DIGEST.arrays, "records.label": "z"}})},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_everything_that_is_compared_is_a_change(old: RunsBaseline, changes: dict[str, object]) -> None:
    new = _renewed(old, {"b": _row(run_of(0, **changes))})
    assert len(new.history[-1].changes) == 1


def test_a_file_of_something_else_is_refused(old: RunsBaseline) -> None:
    counted = {"a": CountedRow(image_size_px=[2, 2], figures={"macs.matmul": 1})}
    with pytest.raises(UsageError, match="the baseline holds runs, not counts — choose another --file"):
        renewed_counts(old, "dit/table6", "smoke", (), counted, ["a"], entry())
    for recipe, profile, overrides in (
        ("dit/table7", "smoke", ()),
        ("dit/table6", "mini", ()),
        ("dit/table6", "smoke", ("optimiser.lr=1",)),
    ):
        with pytest.raises(UsageError, match="the baseline is one of dit/table6 --profile smoke"):
            renewed_runs(old, recipe, profile, overrides, {"a": _row(run_of(0))}, ["a"], entry())


def test_counts_are_renewed_row_by_row() -> None:
    def counted(macs: int) -> CountedRow:
        return CountedRow(image_size_px=[2, 2], figures={"macs.matmul": macs})

    old = renewed_counts(None, "r", "paper", (), {"a": counted(1), "b": counted(2)}, ["a", "b"], entry())
    new = renewed_counts(old, "r", "paper", (), {"b": counted(3)}, ["a", "b"], entry())
    assert new.rows == {"a": counted(1), "b": counted(3)}
    assert new.history[-1].changes == ["b, macs.matmul: 2 -> 3"]
    assert differences(old, old) == []


def test_a_long_list_of_changes_is_cut_and_counted() -> None:
    def many(value: int) -> dict[str, CountedRow]:
        return {"a": CountedRow(image_size_px=[2, 2], figures={f"path.{k}": value for k in range(100)})}

    old = renewed_counts(None, "r", "paper", (), many(1), ["a"], entry())
    changes = renewed_counts(old, "r", "paper", (), many(2), ["a"], entry()).history[-1].changes
    assert len(changes) == MOST_CHANGES + 1
    assert changes[-1] == "and 40 more"


def test_an_entry_says_when_and_with_what_and_needs_a_reason() -> None:
    made = change("  a\n reason ")
    assert made.reason == "a reason"
    assert made.created_utc.endswith("+00:00")
    assert made.machine.device == "cpu"
    with pytest.raises(UsageError, match="--reason"):
        change(" \n")
