"""What the pixels of a run's images were taken for: one matrix over all of them, and the counts of each image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dit_bench.runs.arrays import read_arrays, write_arrays

CONFUSION_FILE = "segmentation.npz"

_ARRAYS = {
    "confusion": (np.int64, 2),
    "index": (np.int64, 1),
    "intersection": (np.int32, 2),
    "truth": (np.int32, 2),
    "predicted": (np.int32, 2),
}


class PixelCounts(Protocol):
    """Labelled pixels of one image by class, `(K,)` each; ignored pixels are none of them."""

    @property
    def intersection(self) -> NDArray[np.int64]:
        """They are of the class and were taken for it."""
        ...

    @property
    def truth(self) -> NDArray[np.int64]:
        """They are of the class."""
        ...

    @property
    def predicted(self) -> NDArray[np.int64]:
        """They were taken for the class."""
        ...


@dataclass(frozen=True)
class ConfusionRecords:
    """Pixels of n images with K classes, at the size of the label images; ignored pixels are left out."""

    confusion: NDArray[np.int64]
    """`(K, K)`: pixels by true class (rows) and predicted class (columns), of all images."""
    index: NDArray[np.int64]
    """`(n,)`: numbers of the images in the data set, in ascending order."""
    intersection: NDArray[np.int32]
    """`(n, K)`: pixels of an image that are of the class and were taken for it."""
    truth: NDArray[np.int32]
    """`(n, K)`: pixels of an image that are of the class."""
    predicted: NDArray[np.int32]
    """`(n, K)`: pixels of an image that were taken for the class."""

    def __post_init__(self) -> None:
        for name, (dtype, dimensions) in _ARRAYS.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions:
                wanted = f"{np.dtype(dtype)} of {dimensions} dimensions"
                raise ValueError(f"{name} has type {array.dtype} and shape {array.shape}, expected {wanted}")
        count, classes = len(self.index), len(self.confusion)
        shapes = {"confusion": (classes, classes)}
        shapes |= dict.fromkeys(("intersection", "truth", "predicted"), (count, classes))
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        self._check_values()

    def _check_values(self) -> None:
        if (np.diff(self.index) <= 0).any():
            raise ValueError("index is not in ascending order, each image once")
        if (self.intersection < 0).any() or (self.confusion < 0).any():
            raise ValueError("there are negative counts")
        if (self.intersection > np.minimum(self.truth, self.predicted)).any():
            raise ValueError("an intersection is larger than what it is a part of")
        if (self.truth.sum(axis=1, dtype=np.int64) != self.predicted.sum(axis=1, dtype=np.int64)).any():
            raise ValueError("an image has more pixels in truth than in prediction, or fewer")
        sums = {
            "intersection": np.diagonal(self.confusion),
            "truth": self.confusion.sum(axis=1),
            "predicted": self.confusion.sum(axis=0),
        }
        for name, expected in sums.items():
            if (getattr(self, name).sum(axis=0, dtype=np.int64) != expected).any():
                raise ValueError(f"{name} of the images does not add up to confusion")

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Labelled pixels of each image, `(n,)`."""
        return self.truth.sum(axis=1, dtype=np.int64)

    @property
    def correct(self) -> NDArray[np.int64]:
        """Labelled pixels of each image that were taken for what they are, `(n,)`."""
        return self.intersection.sum(axis=1, dtype=np.int64)

    @property
    def union(self) -> NDArray[np.int32]:
        """Pixels of each image that are of a class or were taken for it, `(n, K)`."""
        return self.truth + self.predicted - self.intersection


def join_counts(confusion: NDArray[np.int64], counts: Iterable[tuple[int, PixelCounts]]) -> ConfusionRecords:
    """The records of all images, each given by its number and counts, in any order.

    Raises ValueError when an image comes twice, or the counts do not add up to `confusion`.
    """
    ordered = sorted(counts, key=lambda entry: entry[0])
    classes = len(confusion)
    columns = {
        name: np.array([getattr(of_image, name) for _, of_image in ordered], np.int32).reshape(-1, classes)
        for name in ("intersection", "truth", "predicted")
    }
    index = np.array([number for number, _ in ordered], np.int64)
    return ConfusionRecords(confusion=confusion, index=index, **columns)


def save_confusion(folder: Path, records: ConfusionRecords) -> Path:
    """Write `segmentation.npz` into a run's folder, atomically, and return its path."""
    path = folder / CONFUSION_FILE
    write_arrays(path, {item.name: getattr(records, item.name) for item in fields(records)})
    return path


def load_confusion(path: Path) -> ConfusionRecords:
    """Read `segmentation.npz`, given the run's folder or the file; no pickle is ever executed.

    Raises DataError when it is missing, damaged, or its counts contradict each other.
    """
    return read_arrays(path / CONFUSION_FILE if path.is_dir() else path, ConfusionRecords)
