"""What a split of pictures with semantic maps is, whatever it is stored as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

IGNORED = 255
"""Label of pixels that neither training nor evaluation looks at."""


@dataclass(frozen=True)
class SegmentationSummary:
    """What is in a split, and what of its folders is not."""

    images: int
    images_of_another_split: int = 0
    """Held back for tuning; in the tuning split: those of training."""
    other_files: int = 0
    """Files in the folders of pictures and label images that are neither, such as notes."""
    unlisted_files: int = 0
    """Pictures and label maps that no list of a split names, where lists say what belongs to it."""

    def __str__(self) -> str:
        """One line: the size of the split, and what is left out with its count."""
        left_out = {
            "images of another split": self.images_of_another_split,
            "files in no list": self.unlisted_files,
            "other files": self.other_files,
        }
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        return f"{self.images} images; left out: {reasons or 'nothing'}"


class SegmentationSet(Protocol):
    """A split of images with a label for each pixel."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the K classes by label."""
        ...

    @property
    def num_classes(self) -> int:
        """K, at most 254."""
        ...

    @property
    def summary(self) -> SegmentationSummary:
        """What is in the split and what is not."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """Return image `index`, uint8 RGB (H, W, 3)."""
        ...

    def labels(self, index: int) -> np.ndarray:
        """Return the label of each pixel of image `index`, uint8 (H, W): 0 … K − 1, or 255 where it is ignored."""
        ...

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of image `index`, without decoding it."""
        ...

    def name(self, index: int) -> str:
        """Return the name of image `index`: unique in its split, for tables and figures."""
        ...

    def manifest_sha256(self) -> str:
        """Return the identity of the data in provenance."""
        ...
