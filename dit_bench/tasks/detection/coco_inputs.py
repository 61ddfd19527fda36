"""What COCO's evaluation is given: checked, and copied so far that no backend can change the caller's data.

The backends trust their input: an unknown category is left out without a word, a NaN ends up anywhere in the order of
scores, and an annotation with the id 0 counts as a miss. None of this gets past here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dit_bench.cost.formulas import Grid
from dit_bench.errors import DataError

IouType = Literal["bbox", "segm"]
_SHAPES = {"bbox": "bbox", "segm": "segmentation"}
_REMEDY = "the annotations should be the content of a COCO instances_*.json"


@dataclass(frozen=True)
class JudgedImages:
    """The images and categories of a judgement."""

    sizes: dict[int, Grid]
    """Height and width by image id; ids in ascending order."""
    category_ids: tuple[int, ...]
    """In ascending order."""


def judged_images(ground_truth: Mapping[str, Any], image_ids: Iterable[int] | None) -> JudgedImages:
    """The images to judge, all of the ground truth if `image_ids` is None, and all of its categories."""
    try:
        known = {int(image["id"]): (int(image["height"]), int(image["width"])) for image in ground_truth["images"]}
        categories = tuple(sorted({int(category["id"]) for category in ground_truth["categories"]}))
        _ = ground_truth["annotations"]
    except KeyError as error:
        raise DataError(f"annotations: no {error.args[0]!r}", remedy=_REMEDY) from None
    chosen = known if image_ids is None else {int(image_id) for image_id in image_ids}
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise DataError(
            f"image {unknown[0]} is not in the annotations", remedy="judge images of the annotated split only"
        )
    # Without images or categories the backends would take all of them.
    if not chosen or not categories:
        raise DataError(f"annotations: no {'categories' if chosen else 'images'} to judge", remedy=_REMEDY)
    return JudgedImages({image_id: known[image_id] for image_id in sorted(chosen)}, categories)


def true_objects(ground_truth: Mapping[str, Any], images: JudgedImages, iou_type: IouType) -> dict[str, Any]:
    """The objects of the judged images and categories, numbered from 1, as a data set of its own."""
    shape = _SHAPES[iou_type]
    categories = frozenset(images.category_ids)
    objects = []
    for entry in ground_truth["annotations"]:
        lacking = [key for key in ("image_id", "category_id", "area", shape) if entry.get(key) in (None, [])]
        if lacking:
            raise DataError(f"annotation {entry.get('id')}: no {lacking[0]!r}", remedy=_REMEDY)
        if entry["image_id"] in images.sizes and entry["category_id"] in categories:
            kept = {key: entry[key] for key in ("image_id", "category_id", "area", shape)}
            objects.append({"id": len(objects) + 1, "iscrowd": int(entry.get("iscrowd", 0)), **kept})
    return {
        "images": [{"id": key, "height": height, "width": width} for key, (height, width) in images.sizes.items()],
        "categories": [{"id": key} for key in images.category_ids],
        "annotations": objects,
    }


def judged_results(
    results: Iterable[Mapping[str, Any]], images: JudgedImages, iou_type: IouType
) -> list[dict[str, Any]]:
    """The detections with nothing but what is judged."""
    shape = _SHAPES[iou_type]
    categories = frozenset(images.category_ids)
    judged = []
    for entry in results:
        try:
            image_id, category_id, score = entry["image_id"], entry["category_id"], float(entry["score"])
            found = entry[shape]
        except KeyError as error:
            raise DataError(f"detection {len(judged)}: no {error.args[0]!r}") from None
        if image_id not in images.sizes:
            raise DataError(f"detection {len(judged)}: image {image_id} is not among the judged images")
        if category_id not in categories:
            raise DataError(
                f"detection {len(judged)} (image {image_id}): unknown category {category_id}",
                remedy="results need the data set's own category ids, not labels",
            )
        if not math.isfinite(score):
            raise DataError(f"detection {len(judged)} (image {image_id}): score is {score}")
        problem = _box_problem(found) if iou_type == "bbox" else _mask_problem(found, images.sizes[image_id])
        if problem:
            raise DataError(f"detection {len(judged)} (image {image_id}): {problem}")
        found = list(map(float, found)) if iou_type == "bbox" else found
        judged.append({"image_id": image_id, "category_id": category_id, "score": score, shape: found})
    return judged


def _box_problem(box: Any) -> str | None:
    if len(box) != 4 or not all(map(math.isfinite, box)) or box[2] < 0 or box[3] < 0:
        return f"box {list(box)} is not x, y, width, height"
    return None


def _mask_problem(mask: Any, size: Grid) -> str | None:
    if not isinstance(mask, Mapping) or not isinstance(mask.get("counts"), (str, bytes)) or "size" not in mask:
        return "segmentation is not compressed run lengths"
    if tuple(mask["size"]) != size:
        return f"mask of {mask['size'][0]}x{mask['size'][1]} pixels, the image has {size[0]}x{size[1]}"
    return None
