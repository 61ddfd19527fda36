"""What a split of pictures with objects is, whatever it is stored as."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

SMALLEST_BOX_PX = 1.0
"""Objects less wide or high than this, after clipping to the image or to a crop of it, are none to learn."""


@dataclass(frozen=True)
class SetObjects:
    """The objects of one image that a detector is to find; crowds are not among them.

    boxes float64 (n, 4) as x1, y1, x2, y2 in pixels of the file, clipped to the image; labels int64 (n,), 0 … K − 1;
    masks bool (n, h, w), or None where they were not asked for.
    """

    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None


@dataclass(frozen=True)
class SetSummary:
    """What is in a split, and what of it is left out, reason by reason.

    Unlisted files and polygons are counted over the whole annotation file, everything else over the split.
    """

    images: int
    objects: int
    images_of_another_split: int = 0
    """Held back for tuning; in the tuning split: those of training."""
    images_without_annotations: int = 0
    images_without_usable_object: int = 0
    """All their annotations are crowds, or are left out for one of the reasons below."""
    images_too_small: int = 0
    unlisted_files: int = 0
    """Image files in the folder that the annotations do not list."""
    crowd_objects: int = 0
    """Regions of many objects: ground truth for the judge, but never an object to learn."""
    ignored_objects: int = 0
    boxes_without_extent: int = 0
    """Width or height is zero or negative."""
    boxes_outside: int = 0
    boxes_below_one_pixel: int = 0
    """Within the image less than one pixel wide or high."""
    objects_without_area: int = 0
    polygons_without_area: int = 0
    """Polygons of fewer than three points; the object stays."""

    def __str__(self) -> str:
        """One line: the size of the split, and every reason that occurs with its count."""
        reasons = [
            f"{getattr(self, field.name)} {field.name.replace('_', ' ')}"
            for field in fields(self)
            if field.name not in ("images", "objects") and getattr(self, field.name)
        ]
        return f"{self.images} images with {self.objects} objects; left out: {', '.join(reasons) or 'nothing'}"


class DetectionSet(Protocol):
    """A split of images with boxes, labels and masks."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the K classes by label."""
        ...

    @property
    def num_classes(self) -> int:
        """K."""
        ...

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Category id of each label, ascending; results for a judge carry these."""
        ...

    @property
    def summary(self) -> SetSummary:
        """What is in the split and what is not."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """Return image `index`, uint8 RGB (H, W, 3)."""
        ...

    def image_id(self, index: int) -> int:
        """Return the id of image `index` in the ground truth."""
        ...

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of image `index`, without reading it."""
        ...

    def objects(self, index: int, *, masks: bool = True) -> SetObjects:
        """Return the objects of image `index`; masks are drawn only when they are asked for."""
        ...

    def check_masks(self) -> None:
        """Raise DataError when an object has no mask, before work that needs masks starts."""
        ...

    def ground_truth(self) -> dict[str, Any]:
        """Return the images of the split and all their annotations, crowds too, as pycocotools reads them."""
        ...

    def manifest_sha256(self) -> str:
        """Return the identity of the data in provenance."""
        ...


def coco_dictionary(
    categories: Iterable[tuple[int, str]], images: list[dict[str, Any]], annotations: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the content of an `instances_*.json` with everything that pycocotools looks for."""
    return {
        "info": {},
        "licenses": [],
        "categories": [{"id": category_id, "name": name} for category_id, name in categories],
        "images": images,
        "annotations": annotations,
    }
