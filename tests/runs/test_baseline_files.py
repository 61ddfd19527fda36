from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_bench.errors import BenchError, DataError, UsageError
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.baseline import BaselineRow, CountedRow, CountsBaseline, RunsBaseline
from dit_bench.runs.baseline_files import find_baselines, load_baseline, load_measurement, save_baseline
from dit_bench.runs.baseline_runs import TRUTH_ARRAYS, array_digest, baseline_row, changed_settings, image_digest
from tests.checked_runs import IMAGES, change, image_records, publish, run_of

HASH = "0123456789"


@pytest.fixture
def baseline() -> RunsBaseline:
    rows = {"dynamic": BaselineRow(settings_hash=HASH, settings={"optimiser.lr": 1}, runs=[run_of(0), run_of(1)])}
    return RunsBaseline(recipe="dit/table6", profile="smoke", rows=rows, history=[change()])


@pytest.fixture
def file(tmp_path: Path, baseline: RunsBaseline) -> Path:
    path = tmp_path / "new" / "folder" / "b.json"
    save_baseline(path, baseline)
    return path


def _changed(file: Path, *path: Any, to: Any) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    file.write_text(json.dumps(document), encoding="utf-8")


def test_what_was_saved_is_loaded(file: Path, baseline: RunsBaseline) -> None:
    assert load_baseline(file) == baseline
    counts = CountsBaseline(
        recipe="a.yaml",
        profile="paper",
        rows={"x": CountedRow(image_size_px=[2, 3], figures={"macs.matmul": 7})},
        history=[change()],
    )
    save_baseline(file, counts)
    assert load_baseline(file) == counts
    assert [entry.name for entry in file.parent.iterdir()] == ["b.json"], "nothing is left beside it"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "b.json:1: damaged: not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no baseline: it has no key 'kind'"),
        ('{"schema_version": 1, "kind": "run"}', "unknown kind of baseline 'run' — did you mean 'runs'?"),
        ('{"schema_version": 2, "kind": "runs"}', "written by a newer dit-bench (schema_version 2"),
        ('{"kind": "runs"}', "no schema_version"),
        ('{"schema_version": 1, "kind": "runs", "rows": NaN}', "holds NaN, which is no number"),
        ('{"schema_version": 1, "kind": "counts", "rows": -Infinity}', "holds -Infinity, which is no number"),
        ("\xff", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_broken_files_are_refused(file: Path, content: str, expected: str) -> None:
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        load_baseline(file)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("rws",), {}, "rws: unknown key"),
        (("rows", "dynamic", "runs", 0, "num_imges"), 3, "num_imges: unknown key"),
        (("rows", "dynamic", "runs", 0, "metrics", "top1_percent"), "75", "top1_percent"),
        (("rows", "dynamic", "runs", 0, "metrics", "top1_percent"), None, "top1_percent"),
        (("rows", "dynamic", "runs", 0, "num_images"), 0, "num_images"),
        (("rows", "dynamic", "runs", 1, "seed"), 0, "a seed stands twice in [0, 0]"),
        (("rows", "dynamic", "settings_hash"), "xyz", "settings_hash"),
        (("rows",), {}, "rows"),
        (("history",), [], "history"),
        (("history", 0, "reason"), "", "reason"),
        (("profile",), "large", "profile"),
    ],
)
def test_wrong_content_is_refused_by_key(file: Path, path: tuple[Any, ...], value: Any, expected: str) -> None:
    _changed(file, *path, to=value)
    with pytest.raises(DataError) as caught:
        load_baseline(file)
    assert expected in str(caught.value)


def test_a_missing_file_is_named_with_the_nearest(file: Path) -> None:
    with pytest.raises(DataError, match=r"bb\.json: no such file — did you mean 'b\.json'\?"):
        load_baseline(file.with_name("bb.json"))


def test_baselines_are_found_in_their_folder_alone(file: Path) -> None:
    (file.parent / "slow").mkdir()
    (file.parent / "slow" / "c.json").write_text("{}", encoding="utf-8")
    assert find_baselines(file.parent) == [file]
    with pytest.raises(UsageError, match="no baselines — name files, or write one with dit-bench check --update"):
        find_baselines(file.parent / "nowhere")


def test_a_failed_write_leaves_the_old_file(
    file: Path, baseline: RunsBaseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match="No space left"):
        save_baseline(file, baseline.model_copy(update={"profile": "mini"}))
    assert file.read_bytes() == before
    assert [entry.name for entry in file.parent.iterdir()] == ["b.json"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{}", "no measurement of dit-bench bench"),
        ('{"comparisons": []}', "damaged"),
        ('{"comparisons": [{"seconds": NaN}]}', "holds NaN"),
    ],
)
def test_what_is_no_measurement_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "speed.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BenchError) as caught:
        load_measurement(path)
    assert expected in str(caught.value)
    assert "dit-bench bench NAME --out" in str(caught.value)


def test_the_digest_of_a_run_sees_every_change_of_one_image(tmp_path: Path) -> None:
    settings = RunSettings()
    plain = image_records(np.random.default_rng(0))
    digest = image_digest(publish(tmp_path, settings, 0, {"x": 1.0}, records=plain))
    assert digest is not None
    assert plain.label is not None
    assert plain.prediction is not None
    assert plain.top5_hit is not None
    assert digest.top1_hits == sum(int(a == b) for a, b in zip(plain.label, plain.prediction, strict=True))
    assert digest.top5_hits == list(plain.top5_hit).count(True)
    assert digest.macs_sum == sum(map(int, plain.macs))
    assert digest.macs_largest == max(map(int, plain.macs))
    assert len(set(digest.arrays.values())) == len(digest.arrays) == 9
    for image in range(IMAGES):
        plain.label[image] += 1
        assert array_digest(plain.label) != digest.arrays["records.label"]
        plain.label[image] -= 1
    assert array_digest(plain.label) == digest.arrays["records.label"]
    assert set(TRUTH_ARRAYS) & set(digest.arrays) == {"records.label", "records.index"}


def test_digests_tell_type_and_shape_apart_and_not_byte_order() -> None:
    array = np.arange(6, dtype=np.int64)
    others = [array.reshape(2, 3), array.astype(np.int32), array.astype(np.uint64), array[::-1]]
    assert len({array_digest(other) for other in [array, *others]}) == 5
    assert array_digest(array.astype(">i8")) == array_digest(array) == array_digest(np.arange(12)[::2] // 2)


def test_a_row_keeps_what_is_not_default(tmp_path: Path) -> None:
    settings = RunSettings.model_validate({"optimiser": {"lr": 0.5}, "model": {"name": "dit_nano"}})
    runs = [publish(tmp_path, settings, seed, {"top1_percent": 75.0}) for seed in (0, 1)]
    row = baseline_row(settings, runs)
    assert row.settings == changed_settings(settings) == {"model.name": "dit_nano", "optimiser.lr": 0.5}
    assert [(run.seed, run.num_images, run.metrics) for run in row.runs] == [
        (0, IMAGES, {"top1_percent": 75.0}),
        (1, IMAGES, {"top1_percent": 75.0}),
    ]
    (runs[0].path / "records.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"records\.npz: damaged"):
        baseline_row(settings, runs)
