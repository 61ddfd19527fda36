from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_bench.errors import DataError
from dit_bench.recipes.metrics import is_time
from dit_bench.runs.compare import RunDiff, compare_runs, same_figures
from dit_bench.runs.image_records import ImageRecords, save_image_records
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.record import RunRecord, StartingPoint


@pytest.fixture
def run(tmp_path: Path, record: RunRecord, images: ImageRecords) -> FinishedRun:
    folder = tmp_path / "first"
    folder.mkdir()
    save_image_records(folder, images)
    return FinishedRun(folder, record)


def _other(run: FinishedRun, **changes: Any) -> FinishedRun:
    """The same run with another record; its images are shared."""
    return FinishedRun(run.path, run.record.model_copy(update=changes))


def _made(run: FinishedRun, **changes: Any) -> FinishedRun:
    return _other(run, provenance=run.record.provenance.model_copy(update=changes))


def _changed(diff: RunDiff) -> dict[str, tuple[Any, Any]]:
    return {change.key: (change.a, change.b) for change in diff.changes}


def test_a_run_equals_itself(run: FinishedRun) -> None:
    diff = compare_runs(run, run)
    assert (diff.sections, diff.changes, diff.notes) == ([], (), ())
    assert diff.images is not None
    assert diff.images.common == 50
    assert (diff.pixels, diff.detections) == (None, None)


def test_time_and_machine_never_make_runs_different(run: FinishedRun) -> None:
    later = _made(run, created_utc="2025-01-01T00:00:00+00:00", argv=["x"], processor="another", threads=8, processes=2)
    metrics = {"latency_ms_per_image": 1.0, "train_seconds": 3.0, **later.record.metrics}
    diff = compare_runs(run, _other(later, metrics=metrics, training={"seconds": 3.0}))
    assert diff.sections == []
    assert {(change.section, change.key) for change in diff.changes} == {
        ("time", "created_utc"),
        ("time", "argv"),
        ("machine", "processor"),
        ("machine", "threads"),
        ("machine", "processes"),
        ("time", "latency_ms_per_image"),
        ("time", "train_seconds"),
        ("time", "training.seconds"),
    }


def test_settings_by_their_dotted_keys(run: FinishedRun) -> None:
    settings = run.record.settings
    gate = settings.routing.gate.model_copy(update={"temperature": 2.0})
    routing = settings.routing.model_copy(update={"gate": gate, "columns": [0, 1]})
    without_effect = settings.detection.model_copy(update={"frozen_stages": 1})
    changed = settings.model_copy(update={"routing": routing, "detection": without_effect})
    diff = compare_runs(run, _other(run, settings=changed))
    assert diff.sections == ["settings"]
    assert _changed(diff) == {
        "routing.columns": ([0, 1, 2, 3, 4], [0, 1]),
        "routing.gate.temperature": (1.0, 2.0),
    }


def test_another_task_is_a_difference_of_settings(run: FinishedRun) -> None:
    diff = compare_runs(run, _other(run, settings=run.record.settings.model_copy(update={"task": "detection"})))
    assert _changed(diff)["task"] == ("classification", "detection")
    assert _changed(diff)["detection.detector"][0] is None


def test_metrics_with_their_differences(run: FinishedRun) -> None:
    metrics = {"top1_percent": 90.0, "gmacs_mean": 0.0097 * (1 + 1e-15), "loss_final": 0.5}
    diff = compare_runs(run, _other(run, metrics=metrics, kept_ratio=[[1.0, 0.5], [0.5, 0.0]]))
    assert diff.sections == ["metrics"]
    top1, kept, loss = diff.changes
    assert (top1.key, top1.difference, top1.relative) == ("top1_percent", 2.0, 2.0 / 88.0)
    assert (loss.key, loss.a, loss.b, loss.difference, loss.relative) == ("loss_final", None, 0.5, None, None)
    assert (kept.key, kept.difference, kept.relative) == ("kept_ratio[1][0]", 0.25, 1.0)


@pytest.mark.parametrize(
    ("section", "before", "after"),
    [
        ("code", {"git_commit": "a"}, {"git_commit": "b"}),
        ("code", {"code_sha256": "a"}, {"code_sha256": "b"}),
        ("code", {"dit_bench_version": "1"}, {"dit_bench_version": "2"}),
        ("packages", {"python": "3.11.0"}, {"python": "3.12.0"}),
        ("packages", {"packages": {"torch": "2.12"}}, {"packages": {"torch": "2.13"}}),
        ("packages", {"plugins": {"my-gates": "1"}}, {"plugins": {"my-gates": "2"}}),
        ("weights", {"weights_sha256": "a"}, {"weights_sha256": "b"}),
        ("data", {"data_manifest_sha256": "a"}, {"data_manifest_sha256": "b"}),
        ("data", {"evaluation_manifest_sha256": "a"}, {"evaluation_manifest_sha256": "b"}),
        (
            "start",
            {"starts_from": []},
            {"starts_from": [StartingPoint(run_id="r", weights_sha256="a")]},
        ),
    ],
)
def test_what_it_was_made_from_counts_when_both_know_it(
    run: FinishedRun, section: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    diff = compare_runs(_made(run, **before), _made(run, **after))
    assert diff.sections == [section]
    assert any("data differ" in note for note in diff.notes) == (section == "data")
    (key,) = before
    if not isinstance(before[key], dict):
        unknown = compare_runs(_made(run, **{key: None}), _made(run, **after))
        assert unknown.sections == []
        assert [change.counts for change in unknown.changes] == [False]


def test_a_package_that_only_one_record_names_is_unknown(run: FinishedRun) -> None:
    diff = compare_runs(run, _made(run, packages={"torch": "2.13.0", "pillow": "12"}))
    assert diff.sections == []
    assert _changed(diff) == {"packages.pillow": (None, "12")}


def test_the_code_itself_tells_more_than_the_commit(run: FinishedRun) -> None:
    first = _made(run, git_commit="a", git_dirty=True, code_sha256="same")
    assert compare_runs(first, _made(run, git_commit="b", git_dirty=False, code_sha256="same")).sections == []
    dirty = [_made(run, git_commit="a", git_dirty=True, created_utc=str(k)) for k in range(2)]
    (note,) = compare_runs(*dirty).notes
    assert "whether their code was the same is unknown" in note


def test_images_that_differ(run: FinishedRun, tmp_path: Path, images: ImageRecords) -> None:
    (tmp_path / "second").mkdir()
    macs = images.macs.copy()
    macs[7] += 5
    save_image_records(tmp_path / "second", replace(images, macs=macs))
    diff = compare_runs(run, FinishedRun(tmp_path / "second", run.record))
    assert diff.sections == ["images"]
    assert diff.images is not None
    assert [entry["index"] for entry in diff.images.listed] == [7]


def test_other_grids_are_noted(run: FinishedRun, tmp_path: Path, images: ImageRecords) -> None:
    (tmp_path / "second").mkdir()
    smaller = replace(images, kept=images.kept[:, :, :2], live=images.live[:, :, :2], columns=images.columns[:, :, :3])
    save_image_records(tmp_path / "second", smaller)
    diff = compare_runs(run, FinishedRun(tmp_path / "second", run.record))
    assert "the routing grids differ: routes are not compared" in diff.notes


def test_missing_and_damaged_records(run: FinishedRun, tmp_path: Path) -> None:
    bare = FinishedRun(tmp_path / "second", run.record)
    bare.path.mkdir()
    diff = compare_runs(run, bare)
    assert diff.images is None
    assert diff.notes == ("second has no records.npz: not compared",)
    bare.images_file.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"records\.npz: damaged"):
        compare_runs(run, bare)


def test_what_is_a_time() -> None:
    times = {"latency_ms_per_image", "base_latency_ms_per_image", "train_seconds", "eval_seconds", "training.seconds"}
    assert {name for name in (*times, "gmacs_mean", "images_seen", "training.lr") if is_time(name)} == times


def test_a_repeat_has_the_same_figures_but_for_times() -> None:
    first = {"top1_percent": 88.0, "train_seconds": 1.0}
    assert same_figures(first, {"top1_percent": float(np.nextafter(88.0, 89.0)), "train_seconds": 2.0})
    assert same_figures(first, {"top1_percent": 88.0})
    assert not same_figures(first, {"top1_percent": 88.1, "train_seconds": 1.0})
    assert not same_figures(first, {**first, "top5_percent": 99.0})
