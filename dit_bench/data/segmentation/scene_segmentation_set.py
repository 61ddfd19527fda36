"""Digit scenes with several digits as a segmentation set."""

from __future__ import annotations

import numpy as np

from dit_bench.data.scenes.multi_scene_set import MultiSceneSet
from dit_bench.data.segmentation.label_values import ZeroLabel, as_labels
from dit_bench.data.segmentation.segmentation_set import SegmentationSummary

BACKGROUND_NAME = "background"


class SceneSegmentationSet:
    """One split of several-digit scenes; distracting fragments of digits belong to the background.

    With `class` there are 11 classes: the background and the digits 0 … 9. With `ignore` there are the 10 digits, and
    nobody looks at the background.
    """

    def __init__(self, scenes: MultiSceneSet, zero_label: ZeroLabel):
        self.scenes = scenes
        self.zero_label: ZeroLabel = zero_label
        digits = scenes.class_names
        self.class_names = digits if zero_label == "ignore" else (BACKGROUND_NAME, *digits)
        self.summary = SegmentationSummary(images=len(scenes))

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def num_classes(self) -> int:
        """Number of classes, 10 or 11."""
        return len(self.class_names)

    def read(self, index: int) -> np.ndarray:
        """Return scene `index`, uint8 (H, W, 3)."""
        return self.scenes.read(index)

    def labels(self, index: int) -> np.ndarray:
        """Return the labels of scene `index`, uint8 (H, W)."""
        return as_labels(self.scenes.semantic_map(index), self.zero_label, self.num_classes)

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of scene `index`."""
        height, width = self.scenes.images.shape[1:3]
        return height, width

    def name(self, index: int) -> str:
        """Return a name for scene `index`."""
        return f"scene_{index + 1:08d}"

    def manifest_sha256(self) -> str:
        """Return the SHA-256 over images, instance maps and classes."""
        return self.scenes.manifest_sha256()
