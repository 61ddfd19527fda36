from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dit_bench.errors import DataError
from dit_bench.runs.files import RunFile, file_sha256, run_files, weights_state
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.record import RunRecord

CONTENT = b"weights" * 300_000


@pytest.fixture
def run(tmp_path: Path, record: RunRecord) -> FinishedRun:
    sha = hashlib.sha256(CONTENT).hexdigest()
    provenance = record.provenance.model_copy(update={"weights_sha256": sha})
    (tmp_path / "weights.safetensors").write_bytes(CONTENT)
    return FinishedRun(tmp_path, record.model_copy(update={"provenance": provenance}))


def test_files_with_their_sizes(run: FinishedRun) -> None:
    (run.path / "tensorboard").mkdir()
    (run.path / "tensorboard" / "events").write_bytes(b"12")
    assert run_files(run.path) == [RunFile("tensorboard/events", 2), RunFile("weights.safetensors", 2_100_000)]


def test_weights_are_those_of_the_record_to_the_last_bit(run: FinishedRun) -> None:
    assert weights_state(run) == "match"
    altered = bytearray(CONTENT)
    altered[-1] ^= 1
    run.weights_file.write_bytes(altered)
    assert weights_state(run) == "differ"
    run.weights_file.unlink()
    assert weights_state(run) == "missing"


def test_weights_without_a_recorded_hash(run: FinishedRun) -> None:
    provenance = run.record.provenance.model_copy(update={"weights_sha256": None})
    bare = FinishedRun(run.path, run.record.model_copy(update={"provenance": provenance}))
    assert weights_state(bare) == "not recorded"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: cannot be read: No such file"):
        file_sha256(tmp_path / "gone")
