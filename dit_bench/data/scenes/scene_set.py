"""Digit scenes for classification: one digit per scene, and its class as the label."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dit_bench.data.scenes.cache import Arrays, cached_arrays, default_cache_dir
from dit_bench.data.scenes.render import render_scene
from dit_bench.data.scenes.sources import CLASS_NAMES, NUM_CLASSES, Split
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import DataSettings

SCENE_VERSION = 1
"""Goes up with every change of what a scene looks like, so that no cached scene outlives its recipe."""
SMALLEST_DIGIT_PX = 4


def arrays_sha256(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of arrays: dtype, shape and bytes of each in turn."""
    digest = hashlib.sha256()
    for array in arrays:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{little.dtype.str}{little.shape}".encode())
        digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class SceneSet:
    """One split: images uint8 (n, H, W, 3), labels int64 (n,) in 0..9, class names in class order."""

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """Number of classes, 10."""
        return len(self.class_names)

    def read(self, index: int) -> np.ndarray:
        """Return scene `index`, uint8 (H, W, 3)."""
        return self.images[index]

    def manifest_sha256(self) -> str:
        """Return the SHA-256 over the images and labels."""
        return arrays_sha256(self.images, self.labels)


def split_size(split: Split, settings: DataSettings) -> int:
    """Return the number of scenes that the settings give a split."""
    return {"train": settings.train_images, "tune": settings.tune_images, "val": settings.val_images}[split]


def check_scene_settings(settings: DataSettings) -> None:
    """Raise UsageError when digits would be too small to be drawn."""
    smallest = settings.min_scale * settings.image_size_px
    if smallest < SMALLEST_DIGIT_PX:
        raise UsageError(
            f"data.min_scale={settings.min_scale} at data.image_size_px={settings.image_size_px} asks for digits of"
            f" {smallest:.1f} pixels",
            remedy=f"the smallest digit has {SMALLEST_DIGIT_PX} pixels: raise one of the two",
        )


def scene_cache_path(kind: str, split: Split, settings: DataSettings, cache_dir: Path | None) -> Path:
    """Return where a split is cached; the name holds every parameter that decides its content."""
    name = (
        f"{kind}-v{SCENE_VERSION}-{split}-{split_size(split, settings)}x{settings.image_size_px}px"
        f"-seed{settings.scene_seed}-clutter{settings.clutter}-scale{settings.min_scale!r}-{settings.max_scale!r}.npz"
    )
    return (cache_dir or default_cache_dir()) / "scenes" / name


def load_scenes(split: Split, settings: DataSettings, cache_dir: Path | None = None) -> SceneSet:
    """Return a split of single-digit scenes, from the cache folder or made now (about 1 ms per scene).

    Scene k depends on `scene_seed`, the split and k alone, not on how many scenes there are. `cache_dir` defaults to
    `$DIT_BENCH_CACHE`, then to the user's cache folder.

    Raises:
        UsageError: `min_scale` makes digits smaller than 4 pixels.
    """
    check_scene_settings(settings)
    count, size = split_size(split, settings), settings.image_size_px
    layout = {
        "images": (np.dtype(np.uint8), (count, size, size, 3)),
        "labels": (np.dtype(np.int64), (count,)),
    }

    def make() -> Arrays:
        images, labels = np.empty((count, size, size, 3), np.uint8), np.empty(count, np.int64)
        scales = (settings.min_scale, settings.max_scale)
        for k in range(count):
            images[k], labels[k] = render_scene(
                settings.scene_seed, split, k, size=size, scales=scales, clutter=settings.clutter
            )
        return {"images": images, "labels": labels}

    arrays = cached_arrays(scene_cache_path("digits", split, settings, cache_dir), layout, make)
    assert arrays["labels"].min() >= 0
    assert arrays["labels"].max() < NUM_CLASSES
    return SceneSet(arrays["images"], arrays["labels"], CLASS_NAMES)
