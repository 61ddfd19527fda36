"""Images of stripes, drawn as they are read; the class is their direction."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

VERSION = 1


class Stripes:
    """One split of stripes: uint8 RGB images of `settings.image_size_px` a side."""

    class_names = ("down", "across")
    num_classes = len(class_names)

    def __init__(self, split: str, settings: Any):
        sizes = {"train": settings.train_images, "tune": settings.tune_images, "val": settings.val_images}
        self.split, self.side = split, settings.image_size_px
        self.labels = np.arange(sizes[split]) % self.num_classes

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> np.ndarray:
        """Return image `index`, uint8 (H, W, 3)."""
        rng = np.random.default_rng([index, len(self.split)])
        wave = 127 + 100 * np.sin(np.arange(self.side) / rng.uniform(1, 3) + rng.uniform(0, 6))
        image = np.repeat(np.broadcast_to(wave, (self.side, self.side))[..., None], 3, axis=2)
        return (image if self.labels[index] == 0 else image.transpose(1, 0, 2)).astype(np.uint8)

    def manifest_sha256(self) -> str:
        """Return what the pixels and labels follow from, hashed."""
        return hashlib.sha256(f"stripes {VERSION} {self.split} {len(self)} {self.side}".encode()).hexdigest()
