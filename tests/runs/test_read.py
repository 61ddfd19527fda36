from __future__ import annotations

import json
from pathlib import Path

import pytest

from dit_bench.errors import DataError
from dit_bench.runs.read import list_runs, load_record, load_run
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore


@pytest.fixture
def folder(tmp_path: Path, record: RunRecord) -> Path:
    return RunStore(tmp_path).begin(record.settings, record.seed).publish(record).path


def test_what_is_written_is_read_back(folder: Path, record: RunRecord) -> None:
    expected = record.model_copy(update={"run_id": folder.name})
    assert load_record(folder) == expected
    assert load_record(folder / "run.json") == expected
    assert load_run(folder).weights_file == folder / "weights.safetensors"


def test_a_newer_record_is_refused_clearly(folder: Path) -> None:
    data = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    data |= {"schema_version": 3, "something_new": 1}
    (folder / "run.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match=r"newer dit-bench \(schema_version 3, this one reads up to 2\) — update"):
        load_record(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema_version": 0}, "schema_version 0 can no longer be read"),
        ({"schema_version": "1"}, "damaged: schema_version"),
        ({"unknown": 1}, "damaged: unknown"),
        ({"seed": "3"}, "damaged: seed"),
        ({"metrics": {"top1_percent": None}}, "damaged: metrics.top1_percent"),
        ({"settings": {"model": {"nme": "x"}}}, "damaged: settings.model.nme"),
    ],
)
def test_a_damaged_record_names_the_key(folder: Path, change: dict[str, object], expected: str) -> None:
    data = json.loads((folder / "run.json").read_text(encoding="utf-8")) | change
    (folder / "run.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match=expected) as caught:
        load_record(folder)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_object(folder: Path, content: bytes) -> None:
    (folder / "run.json").write_bytes(content)
    with pytest.raises(DataError, match=r"run\.json: damaged"):
        load_record(folder)


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_record(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        load_record(tmp_path / "missing")


def test_not_a_number_is_never_recorded(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="finite"):
        RunRecord.model_validate({**record.model_dump(), "metrics": {"loss_final": float("nan")}})


def test_a_listing_reports_damaged_and_interrupted_runs(tmp_path: Path, folder: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    store.begin(record.settings, record.seed, force=True).close()
    store.begin(record.settings, record.seed, force=True).close()
    damaged = store.begin(record.settings, 8).publish(record.model_copy(update={"seed": 8})).path
    (damaged / "run.json").write_text("{", encoding="utf-8")
    (tmp_path / "something else").mkdir()
    (tmp_path / "notes.txt").write_text("", encoding="utf-8")
    listing = list_runs(tmp_path)
    assert [run.path for run in listing.finished] == [folder]
    assert [(path, "not valid JSON" in reason) for path, reason in listing.damaged] == [(damaged, True)]
    assert [path.name for path in listing.interrupted] == [f"{folder.name}.partial", f"{folder.name}.set-aside"]


def test_listing_of_a_missing_folder_and_of_a_file(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "missing").finished == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        list_runs(tmp_path / "file")
