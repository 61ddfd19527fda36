import numpy as np
import pytest

from dit_bench.data.segmentation.label_values import MAX_CLASSES, as_labels, check_class_names, foreign_values
from dit_bench.errors import UsageError

ALL_VALUES = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize("num_classes", [1, 11, 150, MAX_CLASSES])
def test_zero_that_stands_for_nothing_moves_every_class_down_by_one(num_classes):
    values = np.array([*range(num_classes + 1), 255], np.uint8)
    labels = as_labels(values, "ignore", num_classes)
    assert labels.dtype == np.uint8
    expected = [255 if value in (0, 255) else value - 1 for value in values.tolist()]
    assert labels.tolist() == expected


def test_zero_that_is_a_class_moves_nothing():
    values = np.array([[0, 1], [10, 255]], np.uint8)
    assert as_labels(values, "class", 11).tolist() == values.tolist()


@pytest.mark.parametrize(("zero_label", "first_foreign"), [("ignore", 12), ("class", 11)])
def test_foreign_values_are_counted(zero_label, first_foreign):
    assert foreign_values(ALL_VALUES, zero_label, 11) == dict.fromkeys(range(first_foreign, 255), 1)
    values = np.array([[0, 255, first_foreign], [200, 200, 1]], np.uint8)
    assert foreign_values(values, zero_label, 11) == {first_foreign: 1, 200: 2}
    assert foreign_values(values, zero_label, 11, with_ignored=False) == {first_foreign: 1, 200: 2, 255: 1}
    assert foreign_values(values, zero_label, 11) == {first_foreign: 1, 200: 2}  # nothing of it stays behind


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("sky", " ", "road"), "empty name at place 2 of 3"),
        (("sky", "road", "car", "road"), "'road' at places 2 and 4"),
        (("sky", "sky "), "'sky' at places 1 and 2"),
        (tuple(map(str, range(255))), "has 255 names — at most 254"),
    ],
)
def test_useless_names_are_refused(names, message):
    with pytest.raises(UsageError, match=rf"segmentation\.classes .*{message}"):
        check_class_names(names)
