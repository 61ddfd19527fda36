"""How far an interrupted training came is read without torch; a held run is known by its lock."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.store import RunStore
from dit_bench.runs.unfinished import Progress, read_progress, working_process

POSITION = {"epoch": 3, "step": 2, "updates": 32, "images_seen": 512, "seconds": 7.5, "epochs_logged": 3}


def _state(folder: Path, metadata: dict[str, str]) -> None:
    save_file({"model.x": np.zeros(1000, np.float32)}, folder / "state.safetensors", metadata)


def test_progress_is_that_of_the_saved_state(tmp_path: Path) -> None:
    _state(tmp_path, {"state": json.dumps({"position": POSITION, "sums": {}})})
    assert read_progress(tmp_path) == Progress(epoch=3, updates=32, images_seen=512, seconds=7.5)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{}", b"\x04\0\0\0\0\0\0\0null", b"12"])
def test_a_state_that_cannot_be_read_counts_as_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(content)
    assert read_progress(tmp_path) is None


def test_other_metadata_counts_as_none(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    _state(tmp_path, {"other": "{}"})
    assert read_progress(tmp_path) is None


def test_the_holder_of_a_run_is_named_and_not_disturbed(tmp_path: Path) -> None:
    store, settings = RunStore(tmp_path), RunSettings()
    assert working_process(tmp_path, "nothing") is None
    with store.begin(settings, 0) as folder:
        name = folder.path.name.removesuffix(".partial")
        assert working_process(tmp_path, name) == str(os.getpid())
    assert working_process(tmp_path, name) is None
    with store.begin(settings, 0):
        pass
