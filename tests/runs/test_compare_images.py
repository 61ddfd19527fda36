from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from dit_bench.runs.compare_images import compare_images, mcnemar_p
from dit_bench.runs.image_records import ImageRecords


@pytest.fixture
def quiz() -> ImageRecords:
    """Four images, one scale and stage; the first three are right."""
    return ImageRecords(
        index=np.array([3, 5, 8, 9]),
        label=np.array([0, 1, 2, 3]),
        prediction=np.array([0, 1, 2, 0]),
        top5_hit=np.ones(4, np.bool_),
        macs=np.array([100, 200, 300, 400]),
        kept=np.array([4, 3, 2, 1], np.int32).reshape(4, 1, 1),
        tokens=np.array([4], np.int32),
        columns=np.zeros((4, 0, 2), np.bool_),
        live=np.ones((4, 1, 1), np.bool_),
    )


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (1, 3), (2, 9), (12, 4), (70, 84), (300, 200), (1000, 1100)])
def test_mcnemar_is_the_binomial_test(only_a: int, only_b: int) -> None:
    expected = binomtest(only_a, only_a + only_b, 0.5).pvalue
    assert mcnemar_p(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_without_a_difference() -> None:
    assert mcnemar_p(0, 0) == mcnemar_p(7, 7) == 1.0


def test_equal_records_do_not_differ(images: ImageRecords) -> None:
    found = compare_images(images, images)
    assert not found.differs
    assert (found.common, found.macs_changed, found.routes_changed, found.listed) == (50, 0, 0, ())
    assert found.predictions is not None
    assert (found.predictions.changed, found.predictions.mcnemar_p) == (0, 1.0)


def test_predictions_costs_and_routes_by_hand(quiz: ImageRecords) -> None:
    # Image 5 is now wrong, image 8 differs in nothing, image 9 is now right, image 3 costs more and keeps fewer tokens.
    other = replace(
        quiz,
        prediction=np.array([0, 3, 2, 3]),
        macs=np.array([130, 200, 300, 390]),
        kept=np.array([2, 3, 2, 1], np.int32).reshape(4, 1, 1),
    )
    found = compare_images(quiz, other)
    assert found.predictions is not None
    said = found.predictions
    assert (said.changed, said.labels_changed) == (2, 0)
    assert (said.both_right, said.only_a_right, said.only_b_right, said.neither_right) == (2, 1, 1, 0)
    assert (found.macs_changed, found.macs_mean_difference, found.macs_most) == (2, (30 - 10) / 4, 30)
    assert found.routes_changed == 1
    # Other predictions first, the one with the larger difference of cost before the other.
    assert [entry["index"] for entry in found.listed] == [9, 5, 3]
    assert found.listed[0] == {
        "index": 9,
        "label": 3,
        "prediction_a": 0,
        "prediction_b": 3,
        "macs_a": 400,
        "macs_b": 390,
    }


def test_images_are_matched_by_their_number(quiz: ImageRecords) -> None:
    keep = np.array([1, 3])
    part = ImageRecords(
        **{name: array if name == "tokens" else array[keep] for name, array in quiz.arrays().items()}  # type: ignore
    )
    found = compare_images(quiz, part)
    assert (found.common, found.only_a, found.only_b, found.listed) == (2, 2, 0, ())
    assert found.differs
    assert compare_images(part, quiz).only_b == 2
    elsewhere = replace(part, index=np.array([100, 101]))
    none = compare_images(quiz, elsewhere)
    assert (none.common, none.macs_mean_difference, none.macs_most) == (0, 0.0, 0)


def test_other_labels_are_other_data(quiz: ImageRecords) -> None:
    found = compare_images(quiz, replace(quiz, label=np.array([0, 1, 2, 9])))
    assert found.predictions is not None
    assert (found.predictions.labels_changed, found.predictions.changed) == (1, 0)
    assert [entry["index"] for entry in found.listed] == [9]


def test_grids_of_other_sizes_are_told(quiz: ImageRecords) -> None:
    wider = replace(
        quiz,
        kept=np.ones((4, 1, 2), np.int32),
        live=np.ones((4, 1, 2), np.bool_),
        columns=np.zeros((4, 0, 3), np.bool_),
    )
    found = compare_images(quiz, wider)
    assert found.routes_changed is None
    assert found.differs


def test_records_without_classes_and_a_lost_top5_hit(quiz: ImageRecords) -> None:
    bare = replace(quiz, label=None, prediction=None, top5_hit=None)
    found = compare_images(bare, replace(bare, macs=quiz.macs + 1))
    assert found.predictions is None
    assert found.listed[0] == {"index": 3, "macs_a": 100, "macs_b": 101}
    lost = compare_images(quiz, replace(quiz, top5_hit=np.array([True, False, True, True])))
    assert [entry["index"] for entry in lost.listed] == [5]
