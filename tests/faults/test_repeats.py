"""The same run again is the same to the last digit: repeated, resumed twice, with other batches and readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.faults.attempts import ForkServer, without_times
from tests.faults.small_tables import ONE_ROW, TRAIN, SmallTable, write

SMOKE = ("--profile", "smoke", "--device", "cpu", "--json")
FEW = ("data.train_images=16", "data.tune_images=2", "data.val_images=3")
DETECTOR = ("train", "dit/table4", "--row", "mask-rcnn-dit-b2", *SMOKE, *FEW, "detection.regions_per_image=16")


def _records(out: str) -> Any:
    """The records that `train --json` prints, without times; weights are in them by their hash."""
    (record,) = without_times(out)
    assert record["provenance"]["weights_sha256"]
    return record


@pytest.mark.parametrize("table", ["one_row", "two_rows"])
def test_the_same_seed_gives_the_same_record(table: str, request: pytest.FixtureRequest) -> None:
    found: SmallTable = request.getfixturevalue(table)
    first, second = (sorted((found.folder / results).glob("*/run.json")) for results in ("first", "runs"))
    assert [file.parent.name for file in first] == [file.parent.name for file in second]
    for one, other in zip(first, second, strict=True):
        assert without_times(one.read_text(encoding="utf-8")) == without_times(other.read_text(encoding="utf-8"))


def test_a_detector_resumed_twice_is_the_same(server: ForkServer, folder: Path) -> None:
    """Interrupted in its first step, and again in the next."""
    whole = server.run([*DETECTOR, "--results", "whole"], folder)
    assert whole.code == 0, whole.err
    for _ in range(2):
        stopped = server.run(DETECTOR, folder, faults={"interrupt_at": 1})
        assert stopped.code == 4, stopped.err
    ended = server.run(DETECTOR, folder)
    assert "resuming in epoch" in ended.err
    assert _records(ended.out) == _records(whole.out)


def test_batches_and_readers_change_nothing(server: ForkServer, folder: Path) -> None:
    write(folder, ONE_ROW)
    rng = np.random.default_rng(0)
    for number in range(24):
        image = folder / "set" / ("train" if number < 16 else "val") / f"class{number % 2}" / f"{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(image)
    command = [*TRAIN, "data.dataset=imagenet", "data.root=set", "augment.random_resized_crop=true"]
    records = []
    for number, options in enumerate([(), ("--workers", "2", "--eval-batch-size", "3"), ("--eval-batch-size", "1")]):
        ended = server.run([*command, "--results", str(number), *options], folder)
        assert ended.code == 0, ended.err
        records.append(_records(ended.out))
    assert records[1] == records[0]
    assert records[2] == records[0]
