"""The judge of object detection and instance segmentation: COCO's twelve figures, and the AP of each class.

The figures are those of pycocotools. By default faster_coco_eval computes them, the same algorithm in C++; whether both
agree on given detections is what `check_backends` says.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from dit_bench.tasks.detection.coco_inputs import IouType, JudgedImages, judged_images, judged_results, true_objects
from dit_bench.tasks.detection.pasting import mask_areas

Backend = Literal["faster_coco_eval", "pycocotools"]
BACKENDS: tuple[Backend, ...] = ("faster_coco_eval", "pycocotools")
DEFAULT_BACKEND: Backend = "faster_coco_eval"


@dataclass(frozen=True)
class CocoFigures:
    """COCO's figures in percent; None where no object counts towards a figure (pycocotools then says -1).

    AP and AR are means over IoU thresholds .50 to .95 in steps of .05 and over classes. All but `ar1` and `ar10` look
    at the 100 best detections per class and image. Small is an area below 32² pixels, large one above 96²; an object's
    area is that of its mask, also where boxes are judged.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    """Recall with the one best detection per class and image."""
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    class_ap: dict[int, float | None]
    """AP by category id, for every category of the data set; None for those without objects."""

    def figures(self) -> dict[str, float | None]:
        """The twelve figures by name, in COCO's order."""
        return {name: value for name, value in asdict(self).items() if name != "class_ap"}


@dataclass(frozen=True)
class BackendComparison:
    """How far apart two backends are: fractions, not percent; infinite where only one of them has a figure."""

    deviations: dict[str, float]
    """By figure; `class_ap` is the largest deviation among the classes."""
    tolerance: float

    @property
    def agree(self) -> bool:
        """Whether no figure deviates by more than the tolerance."""
        return max(self.deviations.values()) <= self.tolerance

    def __str__(self) -> str:
        figure, worst = max(self.deviations.items(), key=lambda item: item[1])
        if self.agree:
            return f"{' and '.join(BACKENDS)} agree on all figures (largest deviation {worst:.1e})"
        return f"{' and '.join(BACKENDS)} differ by {worst:.1e} in {figure} (tolerance {self.tolerance:.0e})"


def evaluate_detections(
    ground_truth: Mapping[str, Any],
    results: Iterable[Mapping[str, Any]],
    iou_type: IouType,
    image_ids: Iterable[int] | None = None,
    *,
    backend: Backend = DEFAULT_BACKEND,
) -> CocoFigures:
    """Judge detections against the content of an `instances_*.json`; neither argument is changed.

    `results` are entries of a COCO result file: image_id, category_id, score, and bbox (x, y, width, height) or
    segmentation (run lengths), in pixels of the original image. In a judgement of masks a bbox is left out of account.
    Judged are the images `image_ids`, all of the ground truth by default; those without detections count, and so do
    those without objects. What the backends print goes nowhere.

    Raises:
        DataError: a detection lies in another image or has an unknown category, or a score, box or mask that is none;
            the ground truth lacks something. The message names which.
    """
    images = judged_images(ground_truth, image_ids)
    with _no_garbage_collection():
        truth = true_objects(ground_truth, images, iou_type)
        detections = judged_results(results, images, iou_type)
        stats, precision = _JUDGES[backend](truth, detections, images, iou_type)
    return _figures(stats, precision, images.category_ids)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A quarter of the time of half a million detections is the collector's, which walks all of them again and again.

    None of them is part of a cycle, so nothing is freed later for it.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def check_backends(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    iou_type: IouType,
    image_ids: Iterable[int] | None = None,
    *,
    tolerance: float = 1e-12,
) -> BackendComparison:
    """Judge the same detections with both backends and compare the twelve figures and the AP of every class.

    pycocotools takes about six times as long as the default backend. Raises as `evaluate_detections` does.
    """
    chosen = None if image_ids is None else list(image_ids)
    one, other = (evaluate_detections(ground_truth, results, iou_type, chosen, backend=backend) for backend in BACKENDS)
    figures = other.figures()
    deviations = {name: _deviation(value, figures[name]) for name, value in one.figures().items()}
    deviations["class_ap"] = max(_deviation(value, other.class_ap[key]) for key, value in one.class_ap.items())
    return BackendComparison(deviations, tolerance)


def _deviation(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other) / 100


def _figures(stats: np.ndarray, precision: np.ndarray, category_ids: Sequence[int]) -> CocoFigures:
    """From the summary and the precisions over IoU, recall, class, area and number of detections; -1 is no value."""
    percent = [None if value < 0 else 100 * float(value) for value in stats[:12]]
    class_ap: dict[int, float | None] = {}
    for place, category in enumerate(category_ids):
        valid = precision[:, :, place, 0, -1]
        valid = valid[valid > -1]
        class_ap[category] = 100 * float(valid.mean()) if valid.size else None
    return CocoFigures(*percent, class_ap=class_ap)


def _judge_fast(
    truth: dict[str, Any], detections: list[dict[str, Any]], images: JudgedImages, iou_type: IouType
) -> tuple[np.ndarray, np.ndarray]:
    """Summary and precisions of faster_coco_eval."""
    from faster_coco_eval import COCO, COCOeval_faster

    # What its own loader does, but that one measures half a million masks one by one.
    if iou_type == "bbox":
        areas = [entry["bbox"][2] * entry["bbox"][3] for entry in detections]
    else:
        areas = mask_areas([entry["segmentation"] for entry in detections])
        detections = _without_idle_masks(truth, detections)
    found = [
        {"id": number, "area": area, "iscrowd": 0, **entry}
        for number, (entry, area) in enumerate(zip(detections, areas, strict=True), start=1)
    ]
    objects = COCO(truth, print_function=_ignore)
    judged = COCO({**truth, "annotations": found}, print_function=_ignore)
    # Masks are so small a task for a thread that handing them out costs more than it saves.
    evaluation = COCOeval_faster(objects, judged, iou_type, print_function=_ignore, rle_iou_max_workers=1)
    return _summary(evaluation, images)


def _without_idle_masks(truth: dict[str, Any], detections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with an empty mask where the image has no object of the category, whose overlap nobody asks for.

    Decoding them all takes a quarter of the judgement; half of a detector's hundred are usually of absent categories.
    """
    present = {(entry["image_id"], entry["category_id"]) for entry in truth["annotations"]}
    nothing = {"size": [1, 1], "counts": "1"}
    return [
        entry if (entry["image_id"], entry["category_id"]) in present else {**entry, "segmentation": nothing}
        for entry in detections
    ]


def _judge_slow(
    truth: dict[str, Any], detections: list[dict[str, Any]], images: JudgedImages, iou_type: IouType
) -> tuple[np.ndarray, np.ndarray]:
    """Summary and precisions of pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):
        objects, found = _indexed(COCO(), truth), _indexed(COCO(), {**truth, "annotations": []})
        if detections:  # its loader looks at the first detection
            found = objects.loadRes(detections)
        return _summary(COCOeval(objects, found, iou_type), images)


def _indexed(objects: Any, content: dict[str, Any]) -> Any:
    """A data set of pycocotools, which otherwise reads files only."""
    objects.dataset = content
    objects.createIndex()
    return objects


def _summary(evaluation: Any, images: JudgedImages) -> tuple[np.ndarray, np.ndarray]:
    # The number of detections per class and image stays at COCO's 1, 10, 100: the summary asks for 100 by name.
    evaluation.params.imgIds, evaluation.params.catIds = list(images.sizes), list(images.category_ids)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return np.asarray(evaluation.stats), np.asarray(evaluation.eval["precision"])


def _ignore(*_: object) -> None:
    """In place of a print function."""


_JUDGES: dict[Backend, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "faster_coco_eval": _judge_fast,
    "pycocotools": _judge_slow,
}
