"""What digit scenes are made of: disjoint pools of digits and of photograph regions, one per split.

Digits: scikit-learn's bundled set of 1,797 handwritten digits, 8x8 pixels with 17 grey levels. Photographs:
scikit-learn's two bundled pictures, 427x640 pixels. Which digit and which region belong to which split is fixed
once and for all, so that no setting can leak a training digit into validation.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image

Split = Literal["train", "tune", "val"]

NUM_CLASSES = 10
CLASS_NAMES = tuple(f"digit_{k}" for k in range(NUM_CLASSES))
"""Sorted order is class order, as an ImageNet folder needs it."""

TRAIN_DIGITS_PER_CLASS = 100
TUNE_DIGITS_PER_CLASS = 30
POOL_SEED = 20240229
"""Seed of the division into pools; part of what a digit scene is, so it never changes."""

TILE_PX = 10
"""Side of a stored digit: 8 pixels and a dark margin of one, so that enlarging it ends softly on every side."""


@lru_cache(maxsize=1)
def _bundled_digits() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (1797, 8, 8) in 0..255 and labels int64 (1797,)."""
    from sklearn.datasets import load_digits  # slow to import, and a cached set does not need it

    greys, labels = load_digits(return_X_y=True)
    images = np.rint(np.asarray(greys).reshape(-1, 8, 8) * (255.0 / 16.0)).astype(np.uint8)
    return images, np.asarray(labels, dtype=np.int64)


@lru_cache(maxsize=3)
def digit_indices(split: Split) -> tuple[np.ndarray, ...]:
    """Return the positions of a split's digits in the bundled set, one ascending int64 array per class 0..9.

    100 digits of each class are for training, 30 for tuning, the rest (44 to 53) for validation. No two of the 1,797
    are equal.
    """
    _, labels = _bundled_digits()
    rng = np.random.default_rng(POOL_SEED)
    cuts = (TRAIN_DIGITS_PER_CLASS, TRAIN_DIGITS_PER_CLASS + TUNE_DIGITS_PER_CLASS)
    pools = []
    for label in range(NUM_CLASSES):
        parts = np.split(rng.permutation(np.flatnonzero(labels == label)), cuts)
        pools.append(np.sort(parts[("train", "tune", "val").index(split)]))
    return tuple(pools)


@lru_cache(maxsize=3)
def digit_pool(split: Split) -> tuple[np.ndarray, ...]:
    """Return a split's digits, one uint8 array (count, 10, 10) per class 0..9, with a dark margin of one pixel."""
    images, _ = _bundled_digits()
    return tuple(np.pad(images[index], ((0, 0), (1, 1), (1, 1))) for index in digit_indices(split))


def region_box(split: Split, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the part (left, top, right, bottom), in pixels, of a photograph that a split may show.

    Training owns the left half; of the right half, tuning owns the upper part and validation the lower one.
    """
    middle_x, middle_y = width // 2, height // 2
    return {
        "train": (0, 0, middle_x, height),
        "tune": (middle_x, 0, width, middle_y),
        "val": (middle_x, middle_y, width, height),
    }[split]


@lru_cache(maxsize=3)
def photo_regions(split: Split) -> tuple[Image.Image, ...]:
    """Return a split's regions of the two photographs as RGB pictures.

    They are cut out here, so that resampling near an edge cannot reach into another split's region.
    """
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(np.asarray(photo)) for photo in load_sample_images().images]
    return tuple(photo.crop(region_box(split, photo.height, photo.width)) for photo in photos)
