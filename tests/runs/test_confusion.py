"""Stored pixel counts come back as they were; counts that contradict each other are refused in one line."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_bench.errors import DataError
from dit_bench.runs.confusion import ConfusionRecords, join_counts, load_confusion, save_confusion


@dataclass(frozen=True)
class Counts:
    """Counts of one image."""

    intersection: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


@pytest.fixture
def matrices() -> dict[int, np.ndarray]:
    """Confusion of the images 9, 4 and 12 over four classes."""
    rng = np.random.default_rng(0)
    return {number: rng.integers(0, 9, (4, 4)) for number in (9, 4, 12)}


@pytest.fixture
def records(matrices: dict[int, np.ndarray]) -> ConfusionRecords:
    counts = [(number, Counts(np.diag(one), one.sum(axis=1), one.sum(axis=0))) for number, one in matrices.items()]
    return join_counts(sum(matrices.values(), np.zeros((4, 4), np.int64)), counts)


def test_images_are_sorted_and_counted(records: ConfusionRecords, matrices: dict[int, np.ndarray]) -> None:
    assert records.index.tolist() == [4, 9, 12]
    assert records.truth.dtype == np.int32
    for row, number in enumerate((4, 9, 12)):
        one = matrices[number]
        assert records.labelled[row] == one.sum()
        assert records.correct[row] == np.trace(one)
        union = [one[k].sum() + one[:, k].sum() - one[k, k] for k in range(4)]
        assert records.union[row].tolist() == union


def test_what_was_counted_is_read_back(tmp_path: Path, records: ConfusionRecords) -> None:
    path = save_confusion(tmp_path, records)
    assert path == tmp_path / "segmentation.npz"
    for source in (tmp_path, path):
        loaded = load_confusion(source)
        for item in fields(records):
            ours, theirs = getattr(records, item.name), getattr(loaded, item.name)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_a_thousand_images_of_150_classes_stay_small(tmp_path: Path) -> None:
    """An image of ADE20K shows some ten classes."""
    rng = np.random.default_rng(0)
    total, counts = np.zeros((150, 150), np.int64), []
    for number in range(1000):
        one = np.zeros((150, 150), np.int64)
        shown = rng.choice(150, 10, replace=False)
        one[np.ix_(shown, shown)] = rng.integers(0, 5000, (10, 10))
        total += one
        counts.append((number, Counts(np.diag(one), one.sum(axis=1), one.sum(axis=0))))
    path = save_confusion(tmp_path, join_counts(total, counts))
    assert path.stat().st_size < 300_000


def test_no_image_at_all(tmp_path: Path) -> None:
    save_confusion(tmp_path, join_counts(np.zeros((3, 3), np.int64), []))
    assert load_confusion(tmp_path).truth.shape == (0, 3)


def _changed(array: np.ndarray, place: Any, value: int) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {"index": r.index[::-1]}, "index is not in ascending order"),
        (lambda r: {"index": _changed(r.index, 1, 4)}, "index is not in ascending order"),
        (lambda r: {"index": r.index.astype(np.int32)}, "index has type int32"),
        (lambda r: {"truth": r.truth[:2]}, r"truth has shape \(2, 4\), expected \(3, 4\)"),
        (lambda r: {"truth": r.truth[:, 0]}, r"truth has type int32 and shape \(3,\)"),
        (lambda r: {"confusion": r.confusion[:3]}, r"confusion has shape \(3, 4\), expected \(3, 3\)"),
        (lambda r: {"intersection": _changed(r.intersection, (0, 0), -1)}, "negative counts"),
        (lambda r: {"intersection": _changed(r.intersection, (0, 0), 999)}, "larger than what it is a part of"),
        (lambda r: {"truth": r.truth + np.eye(3, 4, dtype=np.int32)}, "more pixels in truth than in prediction"),
        (lambda r: {"confusion": r.confusion + 1}, "intersection of the images does not add up"),
        (lambda r: {"confusion": r.confusion + np.eye(4, 4, 1, np.int64)}, "truth of the images does not add up"),
        (lambda r: {"confusion": r.confusion[:, [1, 0, 2, 3]][[0, 1, 2, 3]]}, "does not add up to confusion"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, records: ConfusionRecords, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(records, **change(records))
    arrays = {item.name: getattr(records, item.name) for item in fields(records)}
    np.savez(tmp_path / "segmentation.npz", **arrays | change(records))
    with pytest.raises(DataError, match=rf"segmentation\.npz: damaged: .*{message}"):
        load_confusion(tmp_path)


def test_an_image_comes_once(records: ConfusionRecords) -> None:
    one = Counts(np.ones(2), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="each image once"):
        join_counts(2 * np.eye(2, dtype=np.int64), [(3, one), (3, one)])


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"segmentation\.npz: no such file"):
        load_confusion(tmp_path)
    np.savez(tmp_path / "segmentation.npz", other=np.zeros(3))
    with pytest.raises(DataError, match="damaged"):
        load_confusion(tmp_path)
