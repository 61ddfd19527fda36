"""A COCO folder in small, with everything odd that annotations can hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

Content = dict[str, Any]


def _compressed(mask: np.ndarray) -> dict[str, Any]:
    rle: Any = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def _rectangle(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@pytest.fixture
def content() -> Content:
    """Four images: two usable (ids 2 and 9), one without annotations (5), one of 20 px (7). Nothing is sorted."""
    blob = np.zeros((64, 48), bool)
    blob[10:30, 38:48] = True
    blob[15:18, 40:42] = False
    runs = [60 * 3, 10, 60 * 37 - 10]  # rows 20 to 29 of column 4 in an image 40 px high

    def entry(number: int, image: int, category: int, box: list[float], segmentation: Any, **more: Any) -> Content:
        common = {"id": number, "image_id": image, "category_id": category, "bbox": box, "segmentation": segmentation}
        return {**common, "area": box[2] * box[3], "iscrowd": 0, **more}

    return {
        "images": [
            {"id": 9, "file_name": "nine.jpg", "height": 40, "width": 60},
            {"id": 2, "file_name": "two.jpg", "height": 64, "width": 48},
            {"id": 7, "file_name": "seven.jpg", "height": 20, "width": 60},
            {"id": 5, "file_name": "five.jpg", "height": 40, "width": 60},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 90, "name": "owl"}],
        "annotations": [
            entry(11, 9, 7, [10.5, 5.25, 20, 15], [*_rectangle(10.5, 5.25, 12, 15), *_rectangle(25, 8, 5.5, 4)]),
            entry(3, 9, 90, [4, 20, 1, 10], {"size": [40, 60], "counts": runs}),
            entry(4, 9, 2, [0, 0, 30, 30], {"size": [40, 60], "counts": [0, 900, 1500]}, iscrowd=1),
            entry(5, 2, 2, [38, 10, 15, 20], _compressed(blob)),
            entry(6, 2, 2, [3, 3, 0, 9], _rectangle(3, 3, 1, 9), area=9),
            entry(8, 2, 2, [50, 3, 5, 9], _rectangle(40, 3, 5, 9)),
            entry(12, 2, 2, [47.5, 3, 5, 9], _rectangle(40, 3, 5, 9)),
            entry(13, 2, 2, [3, 3, 5, 9], _rectangle(3, 3, 5, 9), area=0),
            entry(14, 2, 2, [3, 3, 5, 9], _rectangle(3, 3, 5, 9), ignore=1),
            entry(15, 7, 7, [3, 3, 5, 9], _rectangle(3, 3, 5, 9)),
        ],
    }


@pytest.fixture
def write_coco(tmp_path: Path) -> Callable[..., Path]:
    """Write contents as a COCO folder with pictures of noise; returns its root."""

    def write(content: Content, part: str = "val2017") -> Path:
        root = tmp_path / "coco"
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        (root / part).mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content), encoding="utf-8")
        rng = np.random.default_rng(0)
        for image in content["images"]:
            pixels = rng.integers(0, 256, (image["height"], image["width"], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / part / image["file_name"])
        return root

    return write


@pytest.fixture
def many(write_coco: Callable[..., Path]) -> Path:
    """13 wide and 6 high images in `train2017`, noise, one to three rectangles in each."""
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for k in range(1, 20):
        height, width = (40 + k, 70) if k % 3 else (70, 40 + k)
        images.append({"id": k, "file_name": f"{k:012d}.jpg", "height": height, "width": width})
        for _ in range(int(rng.integers(1, 4))):
            x, y, w, h = rng.integers(2, 18, 4).tolist()
            entry = {"id": len(annotations) + 1, "image_id": k, "category_id": 1 + k % 2, "bbox": [x, y, w, h]}
            annotations.append(entry | {"segmentation": _rectangle(x, y, w, h), "area": w * h, "iscrowd": 0})
    categories = [{"id": 1, "name": "odd"}, {"id": 2, "name": "even"}]
    return write_coco({"images": images, "categories": categories, "annotations": annotations}, "train2017")
