"""Folders in ImageNet's layout: `root/{train,val}/<class>/*`, read from disk one image at a time."""

import hashlib
import os
from pathlib import Path

import numpy as np

from dit_bench.data.images import read_image
from dit_bench.data.scenes.sources import Split
from dit_bench.errors import DataError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png")
TUNE_EVERY = 20
"""Without a tune folder, every 20th training image of a class is its tuning image."""

LAYOUT = "ROOT/train/<class>/*.JPEG and ROOT/val/<class>/*.JPEG, one folder per class"
SOURCE = "ImageNet is given out by image-net.org after registration; nothing is downloaded here"


class ImageFolderSet:
    """One split of an image folder; class index = position of the folder name in sorted order.

    Attributes:
        root: the data set's folder.
        class_names: folder names in class order.
        labels: int64 (n,).
        files: path of each image relative to `root`, with forward slashes; sorted within a class.
    """

    def __init__(self, root: str | Path, split: Split, *, exclude_tune: bool = True):
        """List the images of a split; no image is opened.

        The tune split is `root/tune` where there is one, and otherwise every 20th training file of each class. In the
        second case the train split leaves these files out, unless `exclude_tune` is False because nothing is chosen
        on the tune split.

        Raises:
            DataError: the root or the split is missing, has no class folders or an empty one, or has other classes
                than the training split.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(f"data set folder {self.root} does not exist", remedy=f"expected {LAYOUT}; {SOURCE}")
        carved = not (self.root / "tune").is_dir()
        folder = self.root / ("train" if split == "tune" and carved else split)
        self.class_names = _class_folders(folder)
        if folder.name != "train" and (self.root / "train").is_dir():
            _check_same_classes(folder, self.class_names, _class_folders(self.root / "train"))
        self.files: list[str] = []
        labels: list[int] = []
        for label, name in enumerate(self.class_names):
            files = _image_files(folder / name)
            if carved and split != "val":
                # a class's only image stays in training
                tune = set(files[::TUNE_EVERY]) if len(files) > 1 else set()
                if split == "tune":
                    files = sorted(tune)
                elif exclude_tune:
                    files = [file for file in files if file not in tune]
            self.files += [f"{folder.name}/{name}/{file}" for file in files]
            labels += [label] * len(files)
        self.labels = np.array(labels, dtype=np.int64)
        if not self.files:
            raise DataError(
                f"{folder} has one image per class, too few to set some aside for tuning",
                remedy=f"add images, or a folder {self.root / 'tune'}",
            )

    def __len__(self) -> int:
        return len(self.files)

    @property
    def num_classes(self) -> int:
        """Number of class folders."""
        return len(self.class_names)

    def read(self, index: int) -> np.ndarray:
        """Return image `index`, uint8 RGB (H, W, 3).

        Raises:
            DataError: the file cannot be read; the message names it. It is never replaced by another image.
        """
        return read_image(self.root / self.files[index])

    def manifest_sha256(self) -> str:
        """Return the SHA-256 over the sorted relative paths and the file sizes in bytes."""
        digest = hashlib.sha256()
        for file in sorted(self.files):
            digest.update(f"{file}\0{os.stat(self.root / file).st_size}\n".encode())
        return digest.hexdigest()


def _class_folders(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"split folder {folder} does not exist", remedy=f"expected {LAYOUT}; {SOURCE}")
    with os.scandir(folder) as entries:
        listed = [entry for entry in entries if not entry.name.startswith(".")]
    names = sorted(entry.name for entry in listed if entry.is_dir())
    if not names:
        flat = any(entry.name.lower().endswith(IMAGE_SUFFIXES) for entry in listed)
        found = "holds its images without class folders" if flat else "holds no class folders"
        raise DataError(f"{folder} {found}", remedy=f"expected {LAYOUT}; move each image into its class's folder")
    return tuple(names)


def _image_files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    files = sorted(name for name in names if name.lower().endswith(IMAGE_SUFFIXES))
    if not files:
        raise DataError(
            f"class folder {folder} holds no image ({', '.join(IMAGE_SUFFIXES)})",
            remedy="restore its images, or remove the class from every split",
        )
    return files


def _check_same_classes(folder: Path, names: tuple[str, ...], train_names: tuple[str, ...]) -> None:
    if names == train_names:
        return
    only_here, only_train = sorted(set(names) - set(train_names)), sorted(set(train_names) - set(names))
    differences = {folder.name: only_here, "train": only_train}
    parts = [f"{len(only)} only in {where} (first: {only[0]})" for where, only in differences.items() if only]
    raise DataError(
        f"{folder.parent}: {folder.name} and train have different classes: {', '.join(parts)}",
        remedy="both need the same class folders, for a class's number is its place among them",
    )
