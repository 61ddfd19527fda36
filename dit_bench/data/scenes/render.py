"""Painting one digit scene: a darkened photograph, fragments of other digits, and the digits on top.

Arithmetic is elementwise float32 or Pillow's integer resampling, random numbers are PCG64: the same scene on every
platform, as far as the JPEG decoder behind the photographs agrees.
"""

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dit_bench.data.scenes.sources import NUM_CLASSES, Split, digit_pool, photo_regions

BACKGROUND_CROP_PX = (64.0, 208.0)
"""Side of the background crop in photograph pixels; the smallest region is 213 pixels high."""
BACKGROUND_BRIGHTNESS = (0.3, 0.65)
DIGIT_VALUE, DIGIT_SATURATION = (0.75, 1.0), (0.1, 0.65)
CLUTTER_VALUE, CLUTTER_SATURATION = (0.45, 0.75), (0.1, 0.65)
CLUTTER_SCALE = (0.12, 0.3)
"""Side of a fragment over the side of the frame; a fragment is a quarter of a digit."""
STROKE_GAIN = 1.4
"""Opacity of a stroke over the grey level of the enlarged digit, cut at 1: keeps thin strokes opaque."""
MASK_OPACITY = 0.5
"""A pixel belongs to a digit's mask from this opacity on."""


@dataclass(frozen=True)
class Digit:
    """One digit to be painted: its opacity float32 (side, side), tint RGB in 0..255, corner in pixels, class 0..9."""

    opacity: np.ndarray
    tint: np.ndarray
    left: int
    top: int
    label: int

    @property
    def side(self) -> int:
        """Side of the digit's square, pixels."""
        return self.opacity.shape[0]


def scene_rng(seed: int, split: Split, stream: str, index: int) -> np.random.Generator:
    """Return the generator of scene `index` of a split: independent of every other scene and of how many there are."""
    key = (("train", "tune", "val").index(split), ("label", "single", "multi").index(stream), index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform between those of `low` and `high`."""
    return low * math.exp(rng.random() * math.log(high / low))


def _between(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * rng.random()


def _tint(rng: np.random.Generator, value: tuple[float, float], saturation: tuple[float, float]) -> np.ndarray:
    colour = colorsys.hsv_to_rgb(rng.random(), _between(rng, saturation), _between(rng, value))
    return np.asarray(colour, dtype=np.float32) * np.float32(255)


def _enlarge(tile: np.ndarray, side: int, box: tuple[float, float, float, float]) -> np.ndarray:
    """Opacity float32 (side, side) of the part `box` of a grey tile, antialiased bicubic."""
    grey = Image.fromarray(tile).resize((side, side), Image.Resampling.BICUBIC, box=box)
    return np.minimum(np.asarray(grey, dtype=np.float32) * np.float32(STROKE_GAIN / 255), np.float32(1))


def draw_background(rng: np.random.Generator, split: Split, size: int) -> np.ndarray:
    """Return a random, darkened square crop of one of the split's photograph regions, float32 (size, size, 3)."""
    regions = photo_regions(split)
    region = regions[int(rng.integers(len(regions)))]
    side = log_uniform(rng, *BACKGROUND_CROP_PX)
    left, top = rng.random() * (region.width - side), rng.random() * (region.height - side)
    crop = region.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(crop, dtype=np.float32) * np.float32(_between(rng, BACKGROUND_BRIGHTNESS))


def draw_digit(
    rng: np.random.Generator, split: Split, size: int, scales: tuple[float, float], label: int | None = None
) -> Digit:
    """Draw a digit of log-uniform size, bright tint and a position fully inside a frame of `size` pixels.

    `scales` bounds its side over that of the frame; without `label` the class is random too.
    """
    label = int(rng.integers(NUM_CLASSES)) if label is None else label
    pool = digit_pool(split)[label]
    tile = pool[int(rng.integers(len(pool)))]
    side = min(size, max(1, round(size * log_uniform(rng, *scales))))
    left, top = int(rng.random() * (size - side + 1)), int(rng.random() * (size - side + 1))
    # from the centre of the dark margin on, where the enlarged digit is exactly zero
    opacity = _enlarge(tile, side, (0.5, 0.5, tile.shape[1] - 0.5, tile.shape[0] - 0.5))
    return Digit(opacity, _tint(rng, DIGIT_VALUE, DIGIT_SATURATION), left, top, label)


def draw_fragment(rng: np.random.Generator, split: Split, size: int, other_than: int | None) -> Digit:
    """Draw a distractor: a random quarter of a digit of a class other than `other_than`, small and dim."""
    label = int(rng.integers(NUM_CLASSES))
    if other_than is not None:
        label = (other_than + 1 + int(rng.integers(NUM_CLASSES - 1))) % NUM_CLASSES
    pool = digit_pool(split)[label]
    tile = pool[int(rng.integers(len(pool)))]
    left, top = (float(rng.integers(1, 6)) for _ in range(2))
    side = max(1, round(size * log_uniform(rng, *CLUTTER_SCALE)))
    opacity = _enlarge(tile, side, (left, top, left + 4, top + 4))
    x, y = int(rng.random() * (size - side + 1)), int(rng.random() * (size - side + 1))
    return Digit(opacity, _tint(rng, CLUTTER_VALUE, CLUTTER_SATURATION), x, y, label)


def paint(background: np.ndarray, digits: list[Digit]) -> np.ndarray:
    """Blend digits over a background in the given order; returns uint8 (size, size, 3)."""
    frame = background.copy()
    for digit in digits:
        window = frame[digit.top : digit.top + digit.side, digit.left : digit.left + digit.side]
        window += digit.opacity[:, :, None] * (digit.tint - window)
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def class_of_scene(seed: int, split: Split, index: int) -> int:
    """Return the class of single-digit scene `index`: every ten successive scenes hold every class once."""
    block = scene_rng(seed, split, "label", index // NUM_CLASSES)
    return int(block.permutation(NUM_CLASSES)[index % NUM_CLASSES])


def render_scene(
    seed: int, split: Split, index: int, *, size: int, scales: tuple[float, float], clutter: int
) -> tuple[np.ndarray, int]:
    """Return single-digit scene `index` of a split, uint8 (size, size, 3), and its class 0..9.

    The digit is drawn before its surroundings, so that `clutter` changes the distractors and nothing else.
    """
    rng = scene_rng(seed, split, "single", index)
    label = class_of_scene(seed, split, index)
    target = draw_digit(rng, split, size, scales, label)
    background = draw_background(rng, split, size)
    fragments = [draw_fragment(rng, split, size, other_than=label) for _ in range(clutter)]
    return paint(background, [*fragments, target]), label
