"""Two runs of dense prediction: classes of pixels, and detections image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_bench.runs.confusion import ConfusionRecords
from dit_bench.runs.detections import DetectionRecords

_Detection = tuple[float, int, tuple[float, ...], bytes]


@dataclass(frozen=True)
class ClassDiff:
    """Intersection over union of one class in per cent; None where it is in neither truth nor prediction."""

    label: int
    iou_percent_a: float | None
    iou_percent_b: float | None


@dataclass(frozen=True)
class PixelDiff:
    """What the pixels of the common images were taken for."""

    classes: tuple[ClassDiff, ...]
    """All classes; none where the two runs have different numbers of them."""
    common: int
    only_a: int
    only_b: int
    listed: tuple[dict[str, Any], ...]
    """Images with other counts, those whose pixel accuracy changed most first."""

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.only_a or self.only_b or self.listed or not self.classes)


@dataclass(frozen=True)
class DetectionDiff:
    """What was found in the common images."""

    detections_a: int
    detections_b: int
    common: int
    only_a: int
    only_b: int
    listed: tuple[dict[str, Any], ...]
    """Images with other detections, those whose number of detections changed most first."""

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.only_a or self.only_b or self.listed)


def compare_pixels(a: ConfusionRecords, b: ConfusionRecords) -> PixelDiff:
    """Compare classes over all images of each run, and the images that both have by their number."""
    same = a.confusion.shape == b.confusion.shape
    found = zip(_iou_percent(a), _iou_percent(b), strict=True) if same else ()
    classes = tuple(ClassDiff(label, ours, theirs) for label, (ours, theirs) in enumerate(found))
    _, at_a, at_b = np.intersect1d(a.index, b.index, assume_unique=True, return_indices=True)
    accuracy_a, accuracy_b = _accuracy(a)[at_a], _accuracy(b)[at_b]
    changed = np.zeros(len(at_a), np.bool_)
    for name in ("intersection", "truth", "predicted") if same else ():
        changed |= (getattr(a, name)[at_a] != getattr(b, name)[at_b]).any(axis=1)
    order = np.lexsort((a.index[at_a], -np.abs(accuracy_b - accuracy_a)))
    listed = [
        {
            "index": int(a.index[at_a[k]]),
            "pixel_accuracy_percent_a": float(accuracy_a[k]),
            "pixel_accuracy_percent_b": float(accuracy_b[k]),
        }
        for k in order
        if changed[k]
    ]
    return PixelDiff(classes, len(at_a), len(a.index) - len(at_a), len(b.index) - len(at_b), tuple(listed))


def compare_detections(a: DetectionRecords, b: DetectionRecords) -> DetectionDiff:
    """Compare the images that both looked at: class, score, box and mask of each detection, in their order."""
    common = np.intersect1d(a.images, b.images, assume_unique=True)
    found_a, found_b = _by_image(a), _by_image(b)
    listed = []
    for image in map(int, common):
        ours, theirs = found_a[image], found_b[image]
        if ours != theirs:
            counts = {"detections_a": len(ours), "detections_b": len(theirs)}
            tops = {"top_score_a": _top_score(ours), "top_score_b": _top_score(theirs)}
            listed.append({"image_id": image, **counts, **tops})
    listed.sort(key=lambda entry: -abs(entry["detections_b"] - entry["detections_a"]))
    only_a, only_b = len(a.images) - len(common), len(b.images) - len(common)
    return DetectionDiff(len(a.score), len(b.score), len(common), only_a, only_b, tuple(listed))


def _iou_percent(records: ConfusionRecords) -> list[float | None]:
    matrix = records.confusion
    right = np.diagonal(matrix)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - right
    return [100 * float(r) / float(u) if u else None for r, u in zip(right, union, strict=True)]


def _accuracy(records: ConfusionRecords) -> NDArray[np.float64]:
    """Per cent of an image's labelled pixels that are right; 0 where none is labelled."""
    return 100 * records.correct / np.maximum(records.labelled, 1)


def _by_image(records: DetectionRecords) -> dict[int, list[_Detection]]:
    """Score, class, box and mask of each detection, in their order, of every image that was looked at."""
    found: dict[int, list[_Detection]] = {image: [] for image in records.images.tolist()}
    masks = [b""] * len(records.score)
    if records.mask_counts is not None and records.mask_length is not None and records.mask_size is not None:
        text, ends = records.mask_counts.tobytes(), np.cumsum(records.mask_length, dtype=np.int64).tolist()
        sizes = records.mask_size.tolist()
        masks = [f"{sizes[k]} ".encode() + text[(ends[k - 1] if k else 0) : ends[k]] for k in range(len(ends))]
    columns = (records.image_id, records.score, records.category_id, records.box)
    for image, score, category, box, mask in zip(*(array.tolist() for array in columns), masks, strict=True):
        found[image].append((score, category, tuple(box), mask))
    return found


def _top_score(detections: list[_Detection]) -> float | None:
    return max((detection[0] for detection in detections), default=None)
