"""Accuracy class by class."""

import numpy as np

from dit_bench.report.per_class import class_scores, per_class_cells, per_class_json

NAMES = ("n0", "n1", "n2", "n3")
ENGLISH = ("tench", None, "crane", "crane")
# Class 0: right, 2, 3, 3. Class 2: both right. Class 3: 0 and 1, each once. Class 1 has no image.
LABELS = np.array([0, 0, 2, 0, 0, 3, 2, 3])
PREDICTIONS = np.array([0, 2, 2, 3, 3, 1, 2, 0])
TOP5 = np.array([1, 1, 1, 0, 1, 0, 1, 1], dtype=bool)


def test_scores_by_hand() -> None:
    scores = class_scores(LABELS, PREDICTIONS, TOP5, NAMES, ENGLISH)
    assert [(s.label, s.images, s.top1_percent, s.top5_percent) for s in scores] == [
        (0, 4, 25.0, 75.0),
        (2, 2, 100.0, 100.0),
        (3, 2, 0.0, 50.0),
    ]
    assert [(s.confused_with, s.confused_images) for s in scores] == [(3, 2), (None, 0), (0, 1)]


def test_lines_tell_namesakes_apart() -> None:
    assert per_class_cells(class_scores(LABELS, PREDICTIONS, TOP5, NAMES, ENGLISH)) == [
        ("n0", "tench", "4", "25.00", "75.00", "n3 crane (2)"),
        ("n2", "crane", "2", "100.00", "100.00", "—"),
        ("n3", "crane", "2", "0.00", "50.00", "n0 tench (1)"),
    ]


def test_classes_without_an_english_name() -> None:
    (score,) = class_scores(np.array([1]), np.array([1]), np.array([True]), NAMES, ENGLISH)
    assert per_class_cells([score])[0][:2] == ("n1", "—")
    assert per_class_json([score])[0]["english_name"] is None
