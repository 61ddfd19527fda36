"""Data sets of other packages, checked as they are built, and answerable for every image that they read."""

from __future__ import annotations

from typing import Any

import numpy as np

from dit_bench.data.scenes.sources import Split
from dit_bench.plugins import Plugin, find_plugin
from dit_bench.recipes.plugin_names import OWN_DATASETS
from dit_bench.recipes.settings import DataSettings

MEMBERS = ("class_names", "labels", "__len__", "read", "manifest_sha256")
SHA256_DIGITS = 64


class PluginSet:
    """A split of labelled images that another package reads.

    Its function is called with the split's name and the settings of the data, and returns an object with `class_names`
    (the same in every split), `labels` (the class of each image, 0 … K − 1), `len()`, `read(index)`, which gives an
    image as uint8 RGB (H, W, 3), and `manifest_sha256()`, 64 hexadecimal digits that are others whenever an image or a
    label of the split is. Images are cropped, augmented and normalised as those of image folders are.
    """

    def __init__(self, plugin: Plugin, split: Split, settings: DataSettings):
        """Build the split. Raises PluginError for what is not as described, or fails."""
        self._plugin = plugin
        self._images: Any = plugin.call(split, settings)
        missing = [member for member in MEMBERS if not hasattr(self._images, member)]
        if missing:
            raise plugin.refusal(f"its {split} split has no {', no '.join(missing)}")
        self.class_names: tuple[str, ...] = tuple(map(str, plugin.guarded(getattr, self._images, "class_names")))
        self.labels = self._checked_labels(split)
        self._manifest = plugin.guarded(self._images.manifest_sha256)
        if not isinstance(self._manifest, str) or len(self._manifest) != SHA256_DIGITS:
            raise plugin.refusal(f"manifest_sha256() of its {split} split is {self._manifest!r}, not 64 digits")

    def _checked_labels(self, split: Split) -> np.ndarray:
        plugin, count = self._plugin, self._plugin.guarded(len, self._images)
        labels = plugin.guarded(np.asarray, plugin.guarded(getattr, self._images, "labels"))
        if labels.shape != (count,) or count == 0 or labels.dtype.kind not in "iu":
            made = f"{labels.dtype} {labels.shape}"
            raise plugin.refusal(f"labels of its {split} split are {made}, not one integer for each of {count} images")
        if labels.min() < 0 or labels.max() >= len(self.class_names):
            raise plugin.refusal(
                f"labels of its {split} split are {labels.min()} … {labels.max()}, but it names"
                f" {len(self.class_names)} classes"
            )
        return labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def read(self, index: int) -> np.ndarray:
        """Return image `index`, uint8 RGB (H, W, 3). Raises PluginError for anything else."""
        image = self._plugin.guarded(self._images.read, index)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            made = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise self._plugin.refusal(f"read({index}) gave {made}, not uint8 (H, W, 3)")
        return image

    def manifest_sha256(self) -> str:
        """Return the identity of the data, as the package states it."""
        return self._manifest


def dataset_plugin(name: str) -> Plugin | None:
    """The other package's data set of a name; None for ours. Raises UsageError for a name with two origins."""
    return find_plugin("datasets", name, also_of="dit-bench" if name in OWN_DATASETS else None)


def plugin_classes(plugin: Plugin, settings: DataSettings) -> int:
    """Number of classes of a data set: the `num_classes` of its function or class, or of the split once it is read."""
    stated = getattr(plugin.load(), "num_classes", None)
    if isinstance(stated, int):
        return stated
    return PluginSet(plugin, settings.eval_split, settings).num_classes
