"""Pictures in a folder with labels beside them, read from disk one image at a time: what all such data sets share."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from dit_bench.data.images import read_image
from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.folders import Pair, SplitFolders
from dit_bench.data.segmentation.label_readers import LabelReader, file_identity
from dit_bench.data.segmentation.label_values import ZeroLabel, as_labels
from dit_bench.data.segmentation.segmentation_set import SegmentationSummary
from dit_bench.errors import DataError


class PairedSet:
    """One split of a data set of pictures and label maps, images in the order of their names.

    Attributes:
        root: the folder to which `manifest_sha256` names files.
        class_names: names of the classes by label.
        zero_label: what a 0 among the numbers of the label maps is.
        summary: how many images there are, and what is left out.
    """

    def __init__(
        self,
        root: Path,
        split: Split,
        folders: SplitFolders,
        reader: LabelReader,
        *,
        class_names: tuple[str, ...],
        zero_label: ZeroLabel,
        tune_images: int,
        place: Path,
    ):
        """Choose the images of a split and look at the headers of their files; no image is decoded.

        The tune split is `tune_images` training images, evenly spread over their names; the train split leaves these
        out. `place` is the folder or list that they come from, for messages.

        Raises:
            DataError: there are too few images for tuning, a file has no sound header, or labels have another size
                than their image.
        """
        self.root = root
        self.class_names = class_names
        self.zero_label: ZeroLabel = zero_label
        self._reader = reader
        self._image_folder, self._label_folder = folders.images, folders.labels
        in_split = np.ones(len(folders.pairs), bool)
        if split != "val":
            in_split = _tune_images(place, len(folders.pairs), tune_images)
            if split == "train":
                in_split = ~in_split
        chosen = np.flatnonzero(in_split).tolist()
        if not chosen:
            raise DataError(f"{place} has no image for the tune split", remedy="raise data.tune_images")
        self._pairs = [folders.pairs[k] for k in chosen]
        self._sizes = np.array([self._checked_size(pair) for pair in self._pairs], np.int32)
        self.summary = SegmentationSummary(
            images=len(chosen),
            images_of_another_split=len(folders.pairs) - len(chosen),
            other_files=folders.other_files,
            unlisted_files=folders.unlisted_files,
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
        """Return the file that has the labels of image `index`."""
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
        self._check_unchanged(str(self.path(index)), image, index)
        return image

    def labels(self, index: int) -> np.ndarray:
        """Return the labels of image `index`, uint8 (H, W): 0 … K − 1, or 255 where a pixel is ignored.

        Raises:
            DataError: the labels cannot be read, or hold a number that stands for no class.
        """
        values = self._reader.values(self._pairs[index])
        self._check_unchanged(self._reader.describe(self._pairs[index]), values, index)
        return as_labels(values, self.zero_label, self.num_classes)

    def manifest_sha256(self) -> str:
        """Return the SHA-256 over the names of images and label maps, and what tells their contents apart.

        For files that is their size in bytes.
        """
        digest = hashlib.sha256()
        for k, pair in enumerate(self._pairs):
            digest.update(file_identity(self.path(k), self.root).encode())
            digest.update(self._reader.identity(pair).encode())
        return digest.hexdigest()

    def _checked_size(self, pair: Pair) -> tuple[int, int]:
        """Height and width of an image by its header, once its labels agree."""
        width, height = _picture_size(self._image_folder / pair.image)
        label_height, label_width = self._reader.size(pair)
        if (label_height, label_width) != (height, width):
            raise DataError(
                f"{self._reader.describe(pair)} is {label_width}x{label_height} pixels, its image {pair.image}"
                f" {width}x{height}",
                remedy="restore both from the same source; labels are never resized to fit",
            )
        return height, width

    def _check_unchanged(self, what: str, pixels: np.ndarray, index: int) -> None:
        if pixels.shape[:2] != self.size(index):
            (height, width), (old_height, old_width) = pixels.shape[:2], self.size(index)
            raise DataError(
                f"{what} is {width}x{height} pixels, and was {old_width}x{old_height} when the data set was opened",
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


def _tune_images(place: Path, total: int, count: int) -> np.ndarray:
    """Which training images are for tuning, bool (n,)."""
    if count >= total:
        raise DataError(
            f"{place} holds {total} images, too few to set data.tune_images={count} aside for tuning",
            remedy="lower data.tune_images",
        )
    chosen = np.zeros(total, bool)
    chosen[np.arange(count) * total // max(count, 1)] = True
    return chosen
