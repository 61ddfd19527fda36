"""Random ground truth and detections with everything that COCO's evaluation treats specially."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

Drawn = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]
HEIGHT, WIDTH = 180, 210


def _ellipse(box: np.ndarray) -> np.ndarray:
    """The ellipse in a box x, y, width, height."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    left, top, width, height = box
    return ((x - left - width / 2) / (width / 2)) ** 2 + ((y - top - height / 2) / (height / 2)) ** 2 <= 1


def _compressed(mask: np.ndarray) -> dict[str, Any]:
    encoded: Any = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [HEIGHT, WIDTH], "counts": encoded["counts"].decode()}


def _runs(mask: np.ndarray) -> dict[str, Any]:
    """Uncompressed run lengths, as COCO writes crowds."""
    flat = np.concatenate([[0], mask.ravel(order="F").astype(int)])
    edges = np.flatnonzero(np.diff(flat))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()}


def _polygon(box: np.ndarray) -> list[list[float]]:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    centre, half = box[:2] + box[2:] / 2, box[2:] / 2
    return [(centre + half * np.stack([np.cos(angle), np.sin(angle)], axis=1)).ravel().tolist()]


@cache
def _draw(seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    categories, images = [3, 1, 7, 18, 90, 44], list(range(101, 111))
    annotations: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    masks: list[dict[str, Any]] = []

    def draw_boxes(count: int) -> np.ndarray:
        sides = np.exp(rng.uniform(np.log(6), np.log(120), (count, 2)))
        sides[:1] = rng.uniform(120, 170, 2)
        return np.concatenate([rng.uniform(0, 1, (count, 2)) * (np.array([WIDTH, HEIGHT]) - sides), sides], axis=1)

    for image in images:
        # Image 101 is empty in both, 102 has no objects, 103 no detections.
        true = draw_boxes(0 if image in (101, 102) else int(rng.integers(2, 9)))
        labels = rng.choice(categories[:4], len(true))  # 90 and 44 have no objects
        for box, label in zip(true, labels, strict=True):
            crowd = rng.random() < 0.2
            shape = _runs(_ellipse(box)) if crowd else _polygon(box)
            entry = {"image_id": image, "category_id": int(label), "bbox": box.tolist(), "segmentation": shape}
            entry |= {"id": len(annotations), "area": float(_ellipse(box).sum()), "iscrowd": int(crowd)}
            annotations.append(entry)
        count = 0 if image in (101, 103) else 180 if image == 105 else 30
        near = true[rng.integers(len(true), size=count)] if len(true) else draw_boxes(count)
        found = near + rng.normal(0, 0.08, (count, 4)) * near[:, [2, 3, 2, 3]]
        found[:, 2:] = found[:, 2:].clip(1)
        # In image 105 one class has more than 100; 18 is never found, 90 is found and never there.
        label = rng.choice([3, 3, 3, 3, 1] if image == 105 else [3, 1, 7, 90], count)
        score = rng.integers(0, 12, count) / 11  # full of ties
        for box, category, value in zip(found, label, score, strict=True):
            entry = {"image_id": image, "category_id": int(category), "score": float(value)}
            boxes.append({**entry, "bbox": box.tolist()})
            masks.append({**entry, "segmentation": _compressed(_ellipse(box))})
    order = rng.permutation(len(boxes))
    truth = {
        "images": [{"id": image, "height": HEIGHT, "width": WIDTH} for image in rng.permutation(images).tolist()],
        "categories": [{"id": category, "name": str(category)} for category in categories],
        "annotations": annotations,
    }
    return truth, [boxes[k] for k in order], [masks[k] for k in order]


@pytest.fixture(scope="session")
def draw_detections() -> Callable[[int], Drawn]:
    """Ground truth, detected boxes and detected masks of 10 images by seed.

    With crowds, images without objects or detections, classes without either, ties, and 180 detections in one image.
    """
    return _draw
