from __future__ import annotations

from dataclasses import replace

import numpy as np

from dit_bench.runs.compare_dense import ClassDiff, compare_detections, compare_pixels
from dit_bench.runs.confusion import ConfusionRecords
from dit_bench.runs.detections import DetectionRecords


def _pixels(matrices: dict[int, list[list[int]]]) -> ConfusionRecords:
    """Records of images by number, each given by its own confusion matrix."""
    stacked = np.array(list(matrices.values()), np.int64)
    return ConfusionRecords(
        confusion=stacked.sum(axis=0),
        index=np.array(list(matrices), np.int64),
        intersection=np.array([np.diagonal(matrix) for matrix in stacked], np.int32),
        truth=stacked.sum(axis=2).astype(np.int32),
        predicted=stacked.sum(axis=1).astype(np.int32),
    )


FIRST = {2: [[6, 2, 0], [0, 8, 0], [0, 0, 0]], 7: [[4, 0, 0], [0, 4, 0], [0, 0, 0]]}


def test_equal_pixels_do_not_differ() -> None:
    assert not compare_pixels(_pixels(FIRST), _pixels(FIRST)).differs


def test_classes_and_images_by_hand() -> None:
    # Image 7 loses half of class 1 to class 0; class 2 is in neither.
    found = compare_pixels(_pixels(FIRST), _pixels({**FIRST, 7: [[4, 0, 0], [2, 2, 0], [0, 0, 0]]}))
    assert found.differs
    assert found.classes == (
        ClassDiff(0, 100 * 10 / 12, 100 * 10 / 14),
        ClassDiff(1, 100 * 12 / 14, 100 * 10 / 14),
        ClassDiff(2, None, None),
    )
    assert (found.common, found.only_a, found.only_b) == (2, 0, 0)
    expected = {"index": 7, "pixel_accuracy_percent_a": 100.0, "pixel_accuracy_percent_b": 75.0}
    assert found.listed == (expected,)


def test_images_that_changed_most_come_first() -> None:
    second = {2: [[7, 1, 0], [0, 8, 0], [0, 0, 0]], 7: [[4, 0, 0], [4, 0, 0], [0, 0, 0]]}
    found = compare_pixels(_pixels(FIRST), _pixels(second))
    assert [entry["index"] for entry in found.listed] == [7, 2]


def test_other_numbers_of_classes_and_other_images() -> None:
    found = compare_pixels(_pixels(FIRST), _pixels({2: [[6, 2], [0, 8]]}))
    assert found.classes == ()
    assert found.differs
    assert (found.common, found.only_a, found.only_b) == (1, 1, 0)


FOUND = DetectionRecords(
    images=np.array([1, 4, 6], np.int64),
    image_id=np.array([1, 1, 6], np.int64),
    category_id=np.array([3, 5, 3], np.int64),
    score=np.array([0.5, 0.75, 0.25], np.float32),
    box=np.arange(12, dtype=np.float32).reshape(3, 4),
)


def test_equal_detections_do_not_differ() -> None:
    found = compare_detections(FOUND, FOUND)
    assert not found.differs
    assert (found.common, found.detections_a) == (3, 3)


def test_detections_of_every_kind_of_change() -> None:
    for change in ({"score": FOUND.score * 2}, {"box": FOUND.box + 1}, {"category_id": FOUND.category_id + 1}):
        found = compare_detections(FOUND, replace(FOUND, **change))
        assert [entry["image_id"] for entry in found.listed] == [1, 6]
    fewer = DetectionRecords(
        images=np.array([1, 4], np.int64),
        image_id=np.array([1], np.int64),
        category_id=np.array([3], np.int64),
        score=np.array([0.5], np.float32),
        box=FOUND.box[:1],
    )
    found = compare_detections(FOUND, fewer)
    assert (found.detections_a, found.detections_b, found.only_a, found.only_b) == (3, 1, 1, 0)
    expected = {"image_id": 1, "detections_a": 2, "detections_b": 1, "top_score_a": 0.75, "top_score_b": 0.5}
    assert found.listed == (expected,)
    nothing = replace(FOUND, image_id=np.array([4, 4, 6], np.int64))
    most = compare_detections(FOUND, nothing)
    assert [entry["top_score_a"] for entry in most.listed] == [0.75, None]


def test_masks_count() -> None:
    masks = {
        "mask_size": np.full((3, 2), 2, np.int32),
        "mask_length": np.ones(3, np.int32),
        "mask_counts": np.frombuffer(b"444", np.uint8),
    }
    with_masks = replace(FOUND, **masks)
    assert [entry["image_id"] for entry in compare_detections(FOUND, with_masks).listed] == [1, 6]
    assert not compare_detections(with_masks, with_masks).differs
