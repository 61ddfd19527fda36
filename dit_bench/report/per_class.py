"""Accuracy class by class, and what each class is most often taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dit_bench.report.numbers import MISSING, fixed

PER_CLASS_HEADINGS = ("class", "name", "images", "top-1 (%)", "top-5 (%)", "most frequent wrong prediction")


@dataclass(frozen=True)
class ClassScore:
    """One class of a data set."""

    label: int
    """Its number in the classifier."""
    class_name: str
    """Synset, folder name or digit."""
    english_name: str | None
    images: int
    top1_percent: float
    top5_percent: float
    confused_with: int | None
    """The class most often predicted wrongly for it, the lowest number of several; None if there is no mistake."""
    confused_name: str | None
    """That class's synset or folder name, and its English name where there is one."""
    confused_images: int
    """Images of this class that were taken for that one."""


def class_scores(
    labels: np.ndarray,
    predictions: np.ndarray,
    top5_hits: np.ndarray,
    class_names: Sequence[str],
    english_names: Sequence[str | None],
) -> list[ClassScore]:
    """Scores of every class that has an image, by label; arrays are over images (n,), names over the classifier."""
    scores = []
    for label in map(int, np.unique(labels)):
        own = labels == label
        predicted = predictions[own]
        # An image that could not be read has the prediction −1: wrong, and no class.
        wrong = predicted[(predicted != label) & (predicted >= 0)]
        confused, count = None, 0
        if len(wrong):
            counts = np.bincount(wrong)
            confused, count = int(counts.argmax()), int(counts.max())
        scores.append(
            ClassScore(
                label,
                class_names[label],
                english_names[label],
                int(own.sum()),
                100 * float((predicted == label).mean()),
                100 * float(top5_hits[own].mean()),
                confused,
                None if confused is None else full_name(class_names[confused], english_names[confused]),
                count,
            )
        )
    return scores


def full_name(class_name: str, english_name: str | None) -> str:
    """`n01440764 tench`, or the folder's name alone."""
    return class_name if english_name is None else f"{class_name} {english_name}"


def per_class_cells(scores: Sequence[ClassScore]) -> list[tuple[str, ...]]:
    """The scores as lines of a table under `PER_CLASS_HEADINGS`."""
    return [
        (
            score.class_name,
            score.english_name or MISSING,
            str(score.images),
            fixed(score.top1_percent, 2),
            fixed(score.top5_percent, 2),
            MISSING if score.confused_name is None else f"{score.confused_name} ({score.confused_images})",
        )
        for score in scores
    ]


def per_class_json(scores: Sequence[ClassScore]) -> list[dict[str, Any]]:
    """The scores as plain data at full precision."""
    return [asdict(score) for score in scores]
