"""A recipe of two small rows, one of which no machine can run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

RECIPE = """\
schema_version: 1
title: "A table"
kind: table
paper: {key: dit, table: "6", section: "4.4"}
common:
  model: {name: pvt_v2_nano}
  routing: {variant: diagonal}
  data: {dataset: digit_scenes, train_images: 64, val_images: 20, tune_images: 10, clutter: 0, min_scale: 0.5}
  optimiser: {epochs: 6, batch_size: 16, warmup_epochs: 1.0}
profiles:
  smoke: {}
rows:
  - id: good
    label: "Good"
  - id: bad
    label: "Bad"
    settings: {model: {init_weights: nowhere.safetensors}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """The recipe as a file."""
    file = tmp_path / "own.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    return str(file)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


def once_it_trains(results: Path, number: signal.Signals, after: Callable[[Path], bool]) -> None:
    """Send a signal to the process that holds a run, as soon as the run's unfinished folder satisfies `after`."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for folder in results.glob("*.partial"):
            lock = results / ".locks" / f"{folder.name.removesuffix('.partial')}.lock"
            holder = lock.read_text(encoding="utf-8") if lock.exists() else ""
            if holder and after(folder):
                os.kill(int(holder), number)
                return
        time.sleep(0.01)


@contextmanager
def signalling(results: Path, number: signal.Signals, after: Callable[[Path], bool]) -> Iterator[None]:
    """Meanwhile see to `once_it_trains`."""
    thread = threading.Thread(target=once_it_trains, args=(results, number, after), daemon=True)
    thread.start()
    yield
    thread.join(timeout=5)
    assert not thread.is_alive(), "no run ever trained"
