"""Resizing, mirroring and cropping of pictures together with their boxes and masks.

Pictures are resized as 8-bit pixels by Pillow's bilinear filter. The papers' code has OpenCV's: the two do the same
when a picture grows, as COCO's 640 x 480 px do to a short side of 800; when it shrinks, Pillow averages over all
pixels that go into one (antialiasing) and OpenCV skips some. Masks take the nearest pixel.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dit_bench.data.coco.detection_set import SMALLEST_BOX_PX
from dit_bench.recipes.dense_settings import DetectionSettings

CROP_SHORT_SIDES_PX = (400, 500, 600)
"""Short sides before a random crop, in the training of DETR (Carion et al.) and of Sparse R-CNN."""
CROP_RANGE_PX = (384, 600)
"""Height and width of a random crop are drawn from these, limits included."""
CROP_PROB = 0.5


@dataclass(frozen=True)
class Picture:
    """A picture and its objects.

    pixels uint8 (h, w, 3); boxes float64 (n, 4) as x1, y1, x2, y2 in pixels, inside the picture; labels int64 (n,);
    masks bool (n, h, w), or None where they are not needed.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


def resized_size(size: tuple[int, int], short_side_px: int, max_long_side_px: int) -> tuple[int, int]:
    """Return height and width after resizing, aspect ratio kept, rounded to whole pixels.

    The short side becomes `short_side_px`, or less where the long side would pass `max_long_side_px`.
    """
    scale = min(short_side_px / min(size), max_long_side_px / max(size))
    height, width = (max(int(side * scale + 0.5), 1) for side in size)
    return height, width


def resize(picture: Picture, short_side_px: int, max_long_side_px: int) -> Picture:
    """Return the picture with its objects at the size that `resized_size` gives."""
    (old_height, old_width), size = picture.size, resized_size(picture.size, short_side_px, max_long_side_px)
    if size == picture.size:
        return picture
    height, width = size
    pixels = np.asarray(Image.fromarray(picture.pixels).resize((width, height), Image.Resampling.BILINEAR))
    scale = np.array([width / old_width, height / old_height] * 2)
    limits = np.array([width, height] * 2)
    masks = picture.masks
    if masks is not None:
        # the pixel in which the centre of the new one lies, so that mirroring and resizing commute
        rows = np.floor((np.arange(height) + 0.5) * (old_height / height)).astype(np.int64)
        columns = np.floor((np.arange(width) + 0.5) * (old_width / width)).astype(np.int64)
        masks = masks[:, rows][:, :, columns]
    return Picture(pixels, np.clip(picture.boxes * scale, 0, limits), picture.labels, masks)


def mirror(picture: Picture) -> Picture:
    """Return the picture and its objects with left and right exchanged."""
    width = picture.size[1]
    boxes = picture.boxes.copy()
    boxes[:, [0, 2]] = width - picture.boxes[:, [2, 0]]
    masks = None if picture.masks is None else picture.masks[:, :, ::-1]
    return Picture(picture.pixels[:, ::-1], boxes, picture.labels, masks)


def crop(picture: Picture, top: int, left: int, height: int, width: int) -> Picture:
    """Return a window of the picture with what is in it of the objects, perhaps nothing.

    Objects of which less than one pixel in width or height is left are dropped.
    """
    boxes = np.clip(picture.boxes - [left, top, left, top], 0, [width, height, width, height])
    kept = (boxes[:, 2:] - boxes[:, :2] >= SMALLEST_BOX_PX).all(axis=1)
    window = slice(top, top + height), slice(left, left + width)
    masks = None if picture.masks is None else picture.masks[kept][:, window[0], window[1]]
    return Picture(picture.pixels[window], boxes[kept], picture.labels[kept], masks)


def random_crop(picture: Picture) -> Picture:
    """Return a window whose height and width are drawn from 384 … 600 px, or from the picture where it is smaller."""
    sides = [random.randint(min(side, CROP_RANGE_PX[0]), min(side, CROP_RANGE_PX[1])) for side in picture.size]
    top, left = (random.randint(0, side - cut) for side, cut in zip(picture.size, sides, strict=True))
    return crop(picture, top, left, *sides)


def augment(picture: Picture, detection: DetectionSettings, hflip_prob: float) -> Picture:
    """Return a picture as training sees it: mirrored with a probability, perhaps cropped, resized.

    With `random_crop`, half of the pictures are resized to a short side of 400, 500 or 600 px and cropped before they
    are resized as all are: to one of the short sides of the settings. Every resizing keeps the long side within
    `max_long_side_px`. It draws from the global generator of `random`.
    """
    longest = detection.max_long_side_px
    if random.random() < hflip_prob:
        picture = mirror(picture)
    if detection.random_crop and random.random() < CROP_PROB:
        picture = random_crop(resize(picture, random.choice(CROP_SHORT_SIDES_PX), longest))
    return resize(picture, random.choice(detection.short_sides_px), longest)
