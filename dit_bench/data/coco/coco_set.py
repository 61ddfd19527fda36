"""Folders in COCO 2017's layout, read from disk one image at a time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from dit_bench.data.coco.annotations import CocoAnnotations, read_annotations
from dit_bench.data.coco.detection_set import SMALLEST_BOX_PX, SetObjects, SetSummary, coco_dictionary
from dit_bench.data.imagenet import IMAGE_SUFFIXES
from dit_bench.data.images import read_image
from dit_bench.data.scenes.sources import Split
from dit_bench.errors import DataError

LAYOUT = "ROOT/{train,val}2017/*.jpg and ROOT/annotations/instances_{train,val}2017.json"
SOURCE = "COCO 2017 is given out by cocodataset.org; nothing is downloaded here"
SMALLEST_SIDE_PX = 32
"""Training leaves out images with a shorter side, as mmdetection does."""


class CocoSet:
    """One split of a COCO folder, images in the order of their ids; label = place of the category id.

    Attributes:
        root: the data set's folder.
        class_names: names of the categories by label.
        category_ids: ids of the categories by label.
        summary: how many images and objects there are, and how many are left out for which reason.
    """

    def __init__(self, root: str | Path, split: Split, *, training: bool, tune_images: int = 0):
        """Read the annotations of a split and look for its files; no image is opened.

        The tune split is `tune_images` training images, evenly spread over their ids; the train split leaves these
        out. For training, images without a usable object or with a side below 32 pixels are left out; for
        evaluation every image stays.

        Raises:
            DataError: folder, annotations or an image file are missing, the annotations are not sound, or nothing is
                left.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(f"data set folder {self.root} does not exist", remedy=f"expected {LAYOUT}; {SOURCE}")
        part = "val2017" if split == "val" else "train2017"
        self.folder = self.root / part
        path = self.root / "annotations" / f"instances_{part}.json"
        for needed, exists in ((self.folder, self.folder.is_dir()), (path, path.is_file())):
            if not exists:
                raise DataError(f"{needed} does not exist", remedy=f"expected {LAYOUT}; {SOURCE}")
        found = read_annotations(path)
        self._annotations = found
        self.class_names, self.category_ids = found.category_names, found.category_ids
        if not self.category_ids:
            raise DataError(f"{path} lists no categories", remedy="restore the file")
        unlisted = _check_files(self.folder, found.file_names)
        self._boxes = _clipped_corners(found)
        reasons = _reasons_against_objects(found, self._boxes)
        self._usable = ~np.any(list(reasons.values()), axis=0)

        in_split = np.ones(len(found.image_ids), bool)
        if split != "val":
            in_split = _tune_images(found, tune_images)
            if split == "train":
                in_split = ~in_split
        left_out = _reasons_against_images(found, self._usable) if training else {}
        chosen = in_split & ~np.any(list(left_out.values()), axis=0) if left_out else in_split
        if not chosen.any():
            raise DataError(f"{path} has no image with an object to learn from", remedy="check its annotations")
        self._images = np.flatnonzero(chosen)
        counted = in_split[found.image_of_object]
        self.summary = SetSummary(
            images=len(self._images),
            objects=int((self._usable & chosen[found.image_of_object]).sum()),
            images_of_another_split=int((~in_split).sum()),
            unlisted_files=unlisted,
            polygons_without_area=found.segmentations.short_polygons,
            **{name: int((out & in_split).sum()) for name, out in left_out.items()},
            **{name: int((out & counted).sum()) for name, out in reasons.items()},
        )

    def __len__(self) -> int:
        return len(self._images)

    @property
    def num_classes(self) -> int:
        """Number of categories."""
        return len(self.category_ids)

    def path(self, index: int) -> Path:
        """Return the file of image `index`."""
        return self.folder / self._annotations.file_names[self._images[index]]

    def image_id(self, index: int) -> int:
        """Return the id of image `index` in the annotations."""
        return int(self._annotations.image_ids[self._images[index]])

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of image `index` as the annotations have them."""
        height, width = self._annotations.sizes[self._images[index]].tolist()
        return height, width

    def read(self, index: int) -> np.ndarray:
        """Return image `index`, uint8 RGB (H, W, 3).

        Raises:
            DataError: the file cannot be read, or has another size than its annotations say. It is never replaced by
                another image.
        """
        image = read_image(self.path(index))
        if image.shape[:2] != self.size(index):
            (height, width), (said_height, said_width) = image.shape[:2], self.size(index)
            raise DataError(
                f"image {self.path(index)} is {width}x{height} pixels, but {self._annotations.path} says"
                f" {said_width}x{said_height} for image {self.image_id(index)}",
                remedy="restore the image or its annotations; boxes would not fit",
            )
        return image

    def objects(self, index: int, *, masks: bool = True) -> SetObjects:
        """Return the objects of image `index` that can be learnt; polygons and RLE are drawn here."""
        found = self._annotations
        image = self._images[index]
        first, end = found.first_object[image : image + 2].tolist()
        span = np.arange(first, end)
        chosen = span[self._usable[span]]
        drawn = None
        if masks:
            size = self.size(index)
            drawn = np.zeros((len(chosen), *size), bool)
            for mask, number in zip(drawn, chosen, strict=True):
                mask[:] = found.segmentations.draw(number, size)
        return SetObjects(self._boxes[chosen], found.labels[chosen], drawn)

    def check_masks(self) -> None:
        """Check that every object of the split has a mask.

        Raises:
            DataError: names the first that has none.
        """
        found = self._annotations
        chosen = np.isin(found.image_of_object, self._images)
        bare = np.flatnonzero(self._usable & chosen & ~found.segmentations.present)
        if len(bare):
            raise DataError(
                f"{found.path}: {len(bare)} objects have no mask (first: annotation {found.object_ids[bare[0]]})",
                remedy="train a detector of boxes on this data set",
            )

    def ground_truth(self) -> dict[str, Any]:
        """Return the split as pycocotools reads it: its images, all their annotations, crowds and odd boxes too."""
        found = self._annotations
        images, annotations = [], []
        for image in self._images.tolist():
            size: tuple[int, int] = tuple(found.sizes[image].tolist())
            image_id = int(found.image_ids[image])
            images.append({"id": image_id, "file_name": found.file_names[image], "height": size[0], "width": size[1]})
            for number in range(found.first_object[image], found.first_object[image + 1]):
                annotation = {
                    "id": int(found.object_ids[number]),
                    "image_id": image_id,
                    "category_id": self.category_ids[found.labels[number]],
                    "bbox": found.boxes[number].tolist(),
                    "area": float(found.areas[number]),
                    "iscrowd": int(found.is_crowd[number]),
                }
                if found.segmentations.present[number]:
                    annotation["segmentation"] = found.segmentations.as_coco(number, size)
                annotations.append(annotation)
        return coco_dictionary(zip(self.category_ids, self.class_names, strict=True), images, annotations)

    def manifest_sha256(self) -> str:
        """Return the SHA-256 over the annotation file, the images' names and the sizes of their files in bytes."""
        digest = hashlib.sha256(f"{self._annotations.sha256}\n".encode())
        for image in self._images.tolist():
            name = self._annotations.file_names[image]
            digest.update(f"{self.folder.name}/{name}\0{os.stat(self.folder / name).st_size}\n".encode())
        return digest.hexdigest()


def _check_files(folder: Path, names: tuple[str, ...]) -> int:
    """Number of image files that are not listed; raise DataError when a listed one is missing."""
    with os.scandir(folder) as entries:
        present = {entry.name for entry in entries if not entry.name.startswith(".")}
    missing = [name for name in names if name not in present and not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"image {folder / missing[0]} does not exist ({len(missing)} of the {len(names)} listed ones are missing)",
            remedy="restore the files, or take the images out of the annotations",
        )
    return sum(name.lower().endswith(IMAGE_SUFFIXES) for name in present - set(names))


def _clipped_corners(found: CocoAnnotations) -> np.ndarray:
    """Boxes as x1, y1, x2, y2 within their images, float64 (m, 4)."""
    limits = found.sizes[found.image_of_object][:, [1, 0]]
    first, last = found.boxes[:, :2], found.boxes[:, :2] + found.boxes[:, 2:]
    return np.concatenate([np.clip(first, 0, limits), np.clip(last, 0, limits)], axis=1)


def _reasons_against_objects(found: CocoAnnotations, corners: np.ndarray) -> dict[str, np.ndarray]:
    """Why an object is none to learn, bool (m,) by the name in the summary; no object has two reasons."""
    inside = corners[:, 2:] - corners[:, :2]
    reasons = {
        "crowd_objects": found.is_crowd,
        "ignored_objects": found.is_ignored,
        "boxes_without_extent": (found.boxes[:, 2:] <= 0).any(axis=1),
        "boxes_outside": (inside <= 0).any(axis=1),
        "boxes_below_one_pixel": (inside < SMALLEST_BOX_PX).any(axis=1),
        "objects_without_area": found.areas <= 0,
    }
    seen = np.zeros(len(found.object_ids), bool)
    for name, applies in reasons.items():
        reasons[name] = applies & ~seen
        seen |= applies
    return reasons


def _reasons_against_images(found: CocoAnnotations, usable: np.ndarray) -> dict[str, np.ndarray]:
    """Why an image is left out of training, bool (n,) by the name in the summary; no image has two reasons."""
    annotated = np.diff(found.first_object) > 0
    has_object = np.bincount(found.image_of_object[usable], minlength=len(annotated)) > 0
    return {
        "images_without_annotations": ~annotated,
        "images_without_usable_object": annotated & ~has_object,
        "images_too_small": has_object & (found.sizes < SMALLEST_SIDE_PX).any(axis=1),
    }


def _tune_images(found: CocoAnnotations, count: int) -> np.ndarray:
    """Which training images are for tuning, bool (n,)."""
    total = len(found.image_ids)
    if count >= total:
        raise DataError(
            f"{found.path} lists {total} images, too few to set data.tune_images={count} aside for tuning",
            remedy="lower data.tune_images",
        )
    chosen = np.zeros(total, bool)
    chosen[np.arange(count) * total // max(count, 1)] = True
    return chosen
