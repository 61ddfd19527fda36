"""Folders in ADE20K's layout (SceneParse150), read from disk one image at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dit_bench.data.images import read_image
from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.ade_classes import ADE_CLASS_NAMES, OTHER_NAME
from dit_bench.data.segmentation.ade_layout import find_root, list_split
from dit_bench.data.segmentation.label_images import check_header, read_header, read_label_image
from dit_bench.data.segmentation.label_values import (
    ZeroLabel,
    as_labels,
    check_class_names,
    foreign_values,
    value_range,
)
from dit_bench.data.segmentation.segmentation_set import SegmentationSummary
from dit_bench.errors import DataError


class AdeSet:
    """One split of a folder in SceneParse150's layout, images in the order of their names.

    Attributes:
        root: the folder that holds `images` and `annotations`.
        class_names: names of the classes by label.
        zero_label: what a 0 in a label image is.
        summary: how many images there are, and what is left out.
    """

    def __init__(
        self,
        root: str | Path,
        split: Split,
        *,
        class_names: Sequence[str] = (),
        zero_label: ZeroLabel = "ignore",
        tune_images: int = 0,
    ):
        """List a split and look at the headers of its files; no image is decoded.

        Without `class_names` they are SceneParse150's, 150 of them, with "other" before them where 0 is a class. The
        tune split is `tune_images` training images, evenly spread over their names; the train split leaves these out.

        Raises:
            DataError: the folder is missing or not in this layout, an image lacks its label image or the other way
                round, or a label image has another size than its image or holds no numbers of classes.
            UsageError: the names of the classes are of no use.
        """
        self.root = find_root(Path(root))
        self.zero_label: ZeroLabel = zero_label
        default = ADE_CLASS_NAMES if zero_label == "ignore" else (OTHER_NAME, *ADE_CLASS_NAMES)
        self.class_names = tuple(class_names) or default
        check_class_names(self.class_names)
        folders = list_split(self.root, split)
        self._image_folder, self._label_folder = folders.images, folders.labels
        in_split = np.ones(len(folders.pairs), bool)
        if split != "val":
            in_split = _tune_images(folders.images, len(folders.pairs), tune_images)
            if split == "train":
                in_split = ~in_split
        chosen = np.flatnonzero(in_split).tolist()
        if not chosen:
            raise DataError(f"{folders.images} has no image for the tune split", remedy="raise data.tune_images")
        self._pairs = [folders.pairs[k] for k in chosen]
        self._sizes = np.array([self._checked_size(k) for k in range(len(self._pairs))], np.int32)
        self.summary = SegmentationSummary(
            images=len(chosen),
            images_of_another_split=len(folders.pairs) - len(chosen),
            other_files=folders.other_files,
        )

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def path(self, index: int) -> Path:
        """Return the file of image `index`."""
        return self._image_folder / self._pairs[index].image

    def label_path(self, index: int) -> Path:
        """Return the label image of image `index`."""
        return self._label_folder / self._pairs[index].labels

    def name(self, index: int) -> str:
        """Return the name of image `index`'s file without its suffix."""
        return self.path(index).stem

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of image `index` as the header of its file has them."""
        height, width = self._sizes[index].tolist()
        return height, width

    def read(self, index: int) -> np.ndarray:
        """Return image `index`, uint8 RGB (H, W, 3).

        Raises:
            DataError: the file cannot be read. It is never replaced by another image.
        """
        image = read_image(self.path(index))
        self._check_unchanged(self.path(index), image, index)
        return image

    def labels(self, index: int) -> np.ndarray:
        """Return the labels of image `index`, uint8 (H, W): 0 … K − 1, or 255 where a pixel is ignored.

        Raises:
            DataError: the file cannot be read, or holds a value that stands for no class.
        """
        path = self.label_path(index)
        values = read_label_image(path)
        self._check_unchanged(path, values, index)
        foreign = foreign_values(values, self.zero_label, self.num_classes)
        if foreign:
            (value, pixels), further = next(iter(foreign.items())), len(foreign) - 1
            others = f", others {further} further foreign values" if further else ""
            raise DataError(
                f"label image {path}: {pixels} pixels have the value {value}{others}; {self.num_classes} classes allow"
                f" {value_range(self.zero_label, self.num_classes)}",
                remedy="segmentation.classes must name every class of the data set, and segmentation.zero_label"
                f" ({self.zero_label}) say whether 0 is the first",
            )
        return as_labels(values, self.zero_label, self.num_classes)

    def manifest_sha256(self) -> str:
        """Return the SHA-256 over the names of images and label images, and the sizes of their files in bytes."""
        digest = hashlib.sha256()
        for k in range(len(self)):
            for path in (self.path(k), self.label_path(k)):
                digest.update(f"{path.relative_to(self.root).as_posix()}\0{os.stat(path).st_size}\n".encode())
        return digest.hexdigest()

    def _checked_size(self, index: int) -> tuple[int, int]:
        """Height and width of an image by its header, once the header of its label image agrees."""
        path, label_path = self.path(index), self.label_path(index)
        width, height = _picture_size(path)
        header = read_header(label_path)
        check_header(label_path, header)
        if (header.height, header.width) != (height, width):
            raise DataError(
                f"label image {label_path} is {header.width}x{header.height} pixels, its image {path.name}"
                f" {width}x{height}",
                remedy="restore both from the same source; labels are never resized to fit",
            )
        return height, width

    def _check_unchanged(self, path: Path, pixels: np.ndarray, index: int) -> None:
        if pixels.shape[:2] != self.size(index):
            (height, width), (old_height, old_width) = pixels.shape[:2], self.size(index)
            raise DataError(
                f"{path} is {width}x{height} pixels, and was {old_width}x{old_height} when the data set was opened",
                remedy="leave the data set alone while it is read",
            )


def _picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture from its header; raise DataError when there is none."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except Exception:
        read_image(path)  # says what is wrong
        raise


def _tune_images(folder: Path, total: int, count: int) -> np.ndarray:
    """Which training images are for tuning, bool (n,)."""
    if count >= total:
        raise DataError(
            f"{folder} holds {total} images, too few to set data.tune_images={count} aside for tuning",
            remedy="lower data.tune_images",
        )
    chosen = np.zeros(total, bool)
    chosen[np.arange(count) * total // max(count, 1)] = True
    return chosen
