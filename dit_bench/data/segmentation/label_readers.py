"""What a reader of label maps is, and the reader of label images.

A reader knows how labels are stored and returns the numbers that mmsegmentation's converters write: 0 for nothing (or
the background), 1 … K for the classes. The step to labels is taken afterwards, in `label_values` alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from dit_bench.data.segmentation.folders import Pair
from dit_bench.data.segmentation.label_images import check_header, read_header, read_label_image
from dit_bench.data.segmentation.label_values import ZeroLabel, foreign_values, value_range
from dit_bench.errors import DataError


class LabelReader(Protocol):
    """Reads the labels of pictures in one form of storage; worker processes get a copy of it."""

    def describe(self, pair: Pair) -> str:
        """Return what to call the labels of a picture in a message, with their file."""
        ...

    def size(self, pair: Pair) -> tuple[int, int]:
        """Return height and width without decoding the labels; raise DataError when they cannot be right."""
        ...

    def values(self, pair: Pair) -> np.ndarray:
        """Return the numbers of the classes, uint8 (H, W); raise DataError when one stands for no class."""
        ...

    def identity(self, pair: Pair) -> str:
        """Return a text that is another one for other labels, and the same wherever the data set lies."""
        ...


def file_identity(path: Path, root: Path) -> str:
    """Return the name of a file relative to `root` and its size in bytes."""
    return f"{path.relative_to(root).as_posix()}\0{os.stat(path).st_size}\n"


class PngLabels:
    """Label images in a folder: PNG files with the number of a class in each pixel."""

    def __init__(
        self,
        folder: Path,
        root: Path,
        zero_label: ZeroLabel,
        num_classes: int,
        *,
        with_ignored: bool = True,
        remedy: str,
    ):
        """Hold what the pixels may be; 255 is among it if `with_ignored`, and `remedy` says what to do otherwise."""
        self.folder, self.root = folder, root
        self.zero_label: ZeroLabel = zero_label
        self.num_classes = num_classes
        self.with_ignored = with_ignored
        self.remedy = remedy

    def describe(self, pair: Pair) -> str:
        """Return the label image's path."""
        return f"label image {self.folder / pair.labels}"

    def size(self, pair: Pair) -> tuple[int, int]:
        """Return height and width by the header of the file.

        Raises:
            DataError: there is no header, or it announces something else than numbers of classes.
        """
        path = self.folder / pair.labels
        header = read_header(path)
        check_header(path, header)
        return header.height, header.width

    def values(self, pair: Pair) -> np.ndarray:
        """Return the numbers as they stand in the file, uint8 (H, W).

        Raises:
            DataError: the file cannot be read, or holds a value that stands for no class.
        """
        values = read_label_image(self.folder / pair.labels)
        foreign = foreign_values(values, self.zero_label, self.num_classes, with_ignored=self.with_ignored)
        if foreign:
            (value, pixels), further = next(iter(foreign.items())), len(foreign) - 1
            others = f", others {further} further foreign values" if further else ""
            allowed = value_range(self.zero_label, self.num_classes, with_ignored=self.with_ignored)
            raise DataError(
                f"{self.describe(pair)}: {pixels} pixels have the value {value}{others}; {self.num_classes} classes"
                f" allow {allowed}",
                remedy=self.remedy,
            )
        return values

    def identity(self, pair: Pair) -> str:
        """Return the name of the file in the data set and its size in bytes."""
        return file_identity(self.folder / pair.labels, self.root)
