"""Photometric distortion: random brightness, contrast, saturation and hue, as mmsegmentation trains with.

Each of the four happens with probability one half; contrast comes before or after saturation and hue, by a fifth coin.
Pixels stay 8-bit between the steps. Saturation and hue are those of Pillow's HSV with 8 bits per channel; OpenCV's,
which mmsegmentation uses, has 180 steps of hue, so its limit of 18 steps is 36 degrees.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

BRIGHTNESS_LEVELS = 32.0
"""Largest shift up or down, of 255."""
FACTOR_RANGE = (0.5, 1.5)
"""Of contrast and of saturation."""
HUE_DEGREES = 36.0
"""Largest turn in either direction."""
_FULL_TURN = 255
"""Steps of Pillow's hue."""


@dataclass(frozen=True)
class Distortion:
    """What to do to a picture; None leaves a property as it is."""

    brightness: float | None = None
    """Added to all channels, levels of 255."""
    contrast: float | None = None
    """Factor of all channels; black stays black."""
    contrast_first: bool = False
    """Contrast before saturation and hue instead of after them."""
    saturation: float | None = None
    """Factor."""
    hue_degrees: float | None = None


def draw_distortion() -> Distortion:
    """Return a random distortion, drawn from the global generator of `random`."""

    def coin() -> bool:
        return random.random() < 0.5

    return Distortion(
        brightness=random.uniform(-BRIGHTNESS_LEVELS, BRIGHTNESS_LEVELS) if coin() else None,
        contrast=random.uniform(*FACTOR_RANGE) if coin() else None,
        contrast_first=coin(),
        saturation=random.uniform(*FACTOR_RANGE) if coin() else None,
        hue_degrees=random.uniform(-HUE_DEGREES, HUE_DEGREES) if coin() else None,
    )


def distort(pixels: np.ndarray, distortion: Distortion) -> np.ndarray:
    """Return a picture uint8 (H, W, 3) with a distortion applied."""
    if distortion.brightness is not None:
        pixels = _level_table(shift=distortion.brightness)[pixels]
    contrast = None if distortion.contrast is None else _level_table(factor=distortion.contrast)
    if contrast is not None and distortion.contrast_first:
        pixels = contrast[pixels]
    if distortion.saturation is not None or distortion.hue_degrees is not None:
        pixels = _recolour(pixels, distortion.saturation, distortion.hue_degrees)
    if contrast is not None and not distortion.contrast_first:
        pixels = contrast[pixels]
    return pixels


def _level_table(*, factor: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """What becomes of each of the 256 levels, uint8 (256,)."""
    return np.clip(np.rint(np.arange(256) * factor + shift), 0, 255).astype(np.uint8)


def _recolour(pixels: np.ndarray, saturation: float | None, hue_degrees: float | None) -> np.ndarray:
    hues, saturations, values = Image.fromarray(pixels).convert("HSV").split()
    if hue_degrees is not None:
        turned = (np.arange(256) + round(hue_degrees / 360 * _FULL_TURN)) % _FULL_TURN
        hues = hues.point(turned.tolist())
    if saturation is not None:
        saturations = saturations.point(_level_table(factor=saturation).tolist())
    return np.asarray(Image.merge("HSV", (hues, saturations, values)).convert("RGB"))
