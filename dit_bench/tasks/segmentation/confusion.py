"""What pixels are and what they were taken for, counted exactly, and the figures that come of it.

The convention is mmsegmentation's (and the papers' code's): counts are summed over the whole set before anything is
divided; pixels whose true label is 255 count for nothing, whatever was predicted there; a class's intersection over
union is I / (T + P - I) of the pixels that are and are taken for it, that are it, and that are taken for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_bench.data.segmentation.segmentation_set import IGNORED


@dataclass(frozen=True)
class SegmentationFigures:
    """Figures in percent; None where there is nothing to divide by."""

    miou_present: float | None
    """Mean intersection over union of the classes that occur in truth or prediction, as mmsegmentation has it."""
    miou_all: float | None
    """The same over all classes; one that occurs nowhere counts as 0."""
    miou_true: float | None
    """The same over the classes that occur in the truth."""
    pixel_accuracy: float | None
    """Right pixels over labelled pixels."""
    mean_class_accuracy: float | None
    """Right pixels over pixels of a class, mean over the classes that occur in the truth."""
    class_iou: tuple[float | None, ...]
    """By label; None for a class that occurs neither in truth nor in prediction."""
    class_accuracy: tuple[float | None, ...]
    """By label; None for a class that does not occur in the truth."""


@dataclass(frozen=True)
class ImageCounts:
    """Pixels of one image by class, int64 (K,) each."""

    intersection: NDArray[np.int64]
    """They are of the class and were taken for it."""
    truth: NDArray[np.int64]
    """They are of the class."""
    predicted: NDArray[np.int64]
    """They were taken for the class; ignored pixels are not among them."""


class Confusion:
    """Pixels by true class (rows) and predicted class (columns), summed over images.

    Attributes:
        matrix: int64 (K, K).
    """

    def __init__(self, num_classes: int):
        """Begin with no pixel. K is at most 255, since labels are bytes and 255 is taken."""
        assert 0 < num_classes <= IGNORED
        self.matrix: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.matrix)

    def add(self, prediction: np.ndarray, labels: np.ndarray) -> ImageCounts:
        """Add the pixels of an image, uint8 (H, W) both, and return its own counts.

        The prediction has a class for every pixel; labels may be 255, which leaves the pixel out.
        """
        assert prediction.shape == labels.shape
        assert prediction.dtype == labels.dtype == np.uint8
        count = self.num_classes
        labelled = labels != IGNORED
        true, taken = labels[labelled].astype(np.int64), prediction[labelled]
        assert true.size == 0 or max(int(true.max()), int(taken.max())) < count
        pairs = np.bincount(true * count + taken, minlength=count * count)
        matrix = pairs.reshape(count, count)
        self.matrix += matrix
        return ImageCounts(np.diagonal(matrix).copy(), matrix.sum(axis=1), matrix.sum(axis=0))

    def __add__(self, other: Confusion) -> Confusion:
        """The pixels of both."""
        assert self.num_classes == other.num_classes
        together = Confusion(self.num_classes)
        together.matrix = self.matrix + other.matrix
        return together

    def figures(self) -> SegmentationFigures:
        """Return the figures of all images together."""
        right, truth, predicted = np.diagonal(self.matrix), self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        union = truth + predicted - right
        iou, accuracy = _percent(right, union), _percent(right, truth)
        return SegmentationFigures(
            miou_present=_mean(iou[union > 0]),
            miou_all=_mean(np.where(union > 0, iou, 0.0)) if truth.any() else None,
            miou_true=_mean(iou[truth > 0]),
            pixel_accuracy=100 * int(right.sum()) / int(truth.sum()) if truth.any() else None,
            mean_class_accuracy=_mean(accuracy[truth > 0]),
            class_iou=_optional(iou),
            class_accuracy=_optional(accuracy),
        )


def _percent(parts: np.ndarray, wholes: np.ndarray) -> NDArray[np.float64]:
    """100 parts / wholes; NaN where the whole is zero."""
    return 100 * parts / np.where(wholes > 0, wholes, np.nan)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _optional(values: np.ndarray) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)
