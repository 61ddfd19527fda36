"""Digit scenes for detection and segmentation: one to five digits per scene, with boxes, masks and semantic map."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dit_bench.data.scenes.cache import Arrays, cached_arrays
from dit_bench.data.scenes.render import (
    MASK_OPACITY,
    Digit,
    draw_background,
    draw_digit,
    draw_fragment,
    paint,
    scene_rng,
)
from dit_bench.data.scenes.scene_set import arrays_sha256, check_scene_settings, scene_cache_path, split_size
from dit_bench.data.scenes.sources import CLASS_NAMES, Split
from dit_bench.recipes.settings import DataSettings

MAX_DIGITS = 5
MAX_OVERLAP = 0.35
"""Largest common area of two digits' squares over the area of the smaller one."""
PLACEMENT_TRIES = 30
MIN_VISIBLE_PX = 8
"""A digit with fewer visible pixels is left out of the scene altogether, so that nothing unlabelled is in it."""


@dataclass(frozen=True)
class Instances:
    """The digits of one scene: classes int64 (k,), boxes float64 (k, 4) as x, y, width, height, masks bool (k, H, W).

    A mask holds the visible pixels, its box is tight around them. Units are pixels.
    """

    classes: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True)
class MultiSceneSet:
    """One split of scenes with several digits.

    images uint8 (n, H, W, 3); instance_maps uint8 (n, H, W), 0 for background and 1 … k for a scene's digits in
    painting order (visible pixels never overlap, so a map holds all masks); classes int64 (n, 5), -1 where a scene
    has fewer digits.
    """

    images: np.ndarray
    instance_maps: np.ndarray
    classes: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_classes(self) -> int:
        """Number of classes of digits, 10; the semantic map has the background besides."""
        return len(self.class_names)

    def read(self, index: int) -> np.ndarray:
        """Return scene `index`, uint8 (H, W, 3)."""
        return self.images[index]

    def instances(self, index: int) -> Instances:
        """Return the digits of scene `index`."""
        classes = self.classes[index][self.classes[index] >= 0]
        masks = self.instance_maps[index][None] == np.arange(1, len(classes) + 1)[:, None, None]
        boxes = np.array([_tight_box(mask) for mask in masks], dtype=np.float64).reshape(-1, 4)
        return Instances(classes, boxes, masks)

    def semantic_map(self, index: int) -> np.ndarray:
        """Return the semantic map of scene `index`, uint8 (H, W): 0 for background, 1 … 10 for the digits 0 … 9."""
        table = np.concatenate([[0], self.classes[index] + 1]).astype(np.uint8)
        return table[self.instance_maps[index]]

    def manifest_sha256(self) -> str:
        """Return the SHA-256 over images, instance maps and classes."""
        return arrays_sha256(self.images, self.instance_maps, self.classes)


def _tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1


def _overlap(a: Digit, b: Digit) -> float:
    """Common area of two digits' squares over the smaller area."""
    width = min(a.left + a.side, b.left + b.side) - max(a.left, b.left)
    height = min(a.top + a.side, b.top + b.side) - max(a.top, b.top)
    return max(width, 0) * max(height, 0) / min(a.side, b.side) ** 2


def _instance_map(digits: list[Digit], size: int) -> np.ndarray:
    """Number (from 1) of the digit that each pixel shows, 0 for background; later digits occlude earlier ones."""
    numbers = np.zeros((size, size), np.uint8)
    for number, digit in enumerate(digits, start=1):
        window = numbers[digit.top : digit.top + digit.side, digit.left : digit.left + digit.side]
        window[digit.opacity >= MASK_OPACITY] = number
    return numbers


def _place_digits(rng: np.random.Generator, split: Split, size: int, scales: tuple[float, float]) -> list[Digit]:
    """Draw one to five digits that overlap little; those that find no room, or that nobody could see, are left out."""
    placed: list[Digit] = []
    for _ in range(int(rng.integers(1, MAX_DIGITS + 1))):
        for _ in range(PLACEMENT_TRIES):
            digit = draw_digit(rng, split, size, scales)
            if all(_overlap(digit, other) <= MAX_OVERLAP for other in placed):
                placed.append(digit)
                break
    while True:
        visible = np.bincount(_instance_map(placed, size).ravel(), minlength=len(placed) + 1)[1:]
        if (visible >= MIN_VISIBLE_PX).all():
            return placed
        placed = [digit for digit, pixels in zip(placed, visible, strict=True) if pixels >= MIN_VISIBLE_PX]


def render_multi_scene(
    seed: int, split: Split, index: int, *, size: int, scales: tuple[float, float], clutter: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return multi-digit scene `index`: image uint8 (size, size, 3), instance map uint8 (size, size), classes int64."""
    rng = scene_rng(seed, split, "multi", index)
    digits = _place_digits(rng, split, size, scales)
    background = draw_background(rng, split, size)
    fragments = [draw_fragment(rng, split, size, other_than=None) for _ in range(clutter)]
    classes = np.array([digit.label for digit in digits], dtype=np.int64)
    return paint(background, [*fragments, *digits]), _instance_map(digits, size), classes


def load_multi_scenes(split: Split, settings: DataSettings, cache_dir: Path | None = None) -> MultiSceneSet:
    """Return a split of scenes with several digits, from the cache folder or made now (about 2 ms per scene).

    Sizes, seed, clutter and scales are those of `load_scenes`; so is what scene k depends on.

    Raises:
        UsageError: `min_scale` makes digits smaller than 4 pixels.
    """
    check_scene_settings(settings)
    count, size = split_size(split, settings), settings.image_size_px
    layout = {
        "images": (np.dtype(np.uint8), (count, size, size, 3)),
        "instance_maps": (np.dtype(np.uint8), (count, size, size)),
        "classes": (np.dtype(np.int64), (count, MAX_DIGITS)),
    }

    def make() -> Arrays:
        arrays = {name: np.empty(shape, dtype) for name, (dtype, shape) in layout.items()}
        arrays["classes"].fill(-1)
        scales = (settings.min_scale, settings.max_scale)
        for k in range(count):
            image, numbers, classes = render_multi_scene(
                settings.scene_seed, split, k, size=size, scales=scales, clutter=settings.clutter
            )
            arrays["images"][k], arrays["instance_maps"][k] = image, numbers
            arrays["classes"][k, : len(classes)] = classes
        return arrays

    arrays = cached_arrays(scene_cache_path("multi", split, settings, cache_dir), layout, make)
    return MultiSceneSet(**arrays, class_names=CLASS_NAMES)
