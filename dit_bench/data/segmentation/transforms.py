"""Resizing, cropping and mirroring of pictures together with their label maps, as mmsegmentation trains and tests.

Pictures are resized as 8-bit pixels by Pillow's bilinear filter, which averages over all pixels that go into one where
a picture shrinks; the papers' code has OpenCV's, which skips some. Labels take the pixel in which the centre of the
new one lies, so that mirroring and resizing commute; OpenCV takes the one under its upper left corner.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dit_bench.data.coco.grouping import PAD_MULTIPLE_PX
from dit_bench.data.coco.transforms import resized_size
from dit_bench.data.segmentation.photometric import distort, draw_distortion
from dit_bench.data.segmentation.segmentation_set import IGNORED
from dit_bench.recipes.dense_settings import SegmentationSettings

CROP_RETRIES = 10


@dataclass(frozen=True)
class LabelledPicture:
    """A picture uint8 (h, w, 3) and its labels uint8 (h, w), 255 where ignored."""

    pixels: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


def resize_pixels(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture uint8 (h, w, 3) at height and width `size`, bilinear."""
    return _resized(pixels, size, Image.Resampling.BILINEAR)


def resize(picture: LabelledPicture, size: tuple[int, int]) -> LabelledPicture:
    """Return a picture with its labels at height and width `size`: bilinear pixels, nearest labels."""
    return LabelledPicture(
        resize_pixels(picture.pixels, size), _resized(picture.labels, size, Image.Resampling.NEAREST)
    )


def _resized(array: np.ndarray, size: tuple[int, int], resample: Image.Resampling) -> np.ndarray:
    if array.shape[:2] == size:
        return array
    height, width = size
    return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize((width, height), resample))


def training_size(size: tuple[int, int], segmentation: SegmentationSettings, factor: float) -> tuple[int, int]:
    """Return height and width of a training image before it is cropped.

    It is the largest, aspect ratio kept, with a short side of at most `factor` short_side_px and a long side of at
    most `factor` max_long_side_px, both limits rounded down to whole pixels.
    """
    short, long = (max(int(limit * factor), 1) for limit in (segmentation.short_side_px, segmentation.max_long_side_px))
    return resized_size(size, short, long)


def network_size(
    size: tuple[int, int], segmentation: SegmentationSettings, multiple: int = PAD_MULTIPLE_PX
) -> tuple[int, int]:
    """Return height and width at which a test image of `size` reaches the network, rounded up to multiples."""
    height, width = resized_size(size, segmentation.test_short_side_px, segmentation.max_long_side_px)
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def network_pixels(
    pixels: np.ndarray, segmentation: SegmentationSettings, multiple: int = PAD_MULTIPLE_PX
) -> np.ndarray:
    """Return a test image uint8 (h, w, 3) at its `network_size`.

    First it is resized with its aspect ratio kept, then once more to the next multiples (PVT's "AlignResize" with 32):
    nothing is padded, and the second step stretches it by less than a multiple.
    """
    size = pixels.shape[0], pixels.shape[1]
    kept = resized_size(size, segmentation.test_short_side_px, segmentation.max_long_side_px)
    return resize_pixels(resize_pixels(pixels, kept), network_size(size, segmentation, multiple))


def crop(picture: LabelledPicture, top: int, left: int, side: int) -> LabelledPicture:
    """Return a square window of a picture, or what of it lies inside."""
    window = slice(top, top + side), slice(left, left + side)
    return LabelledPicture(picture.pixels[window], picture.labels[window])


def is_varied(labels: np.ndarray, max_class_share: float) -> bool:
    """Whether each class covers less than the share, at most 1, of the labelled pixels: so there are at least two."""
    counts = np.bincount(labels.ravel(), minlength=IGNORED + 1)[:IGNORED]
    return int(counts.max()) < max_class_share * int(counts.sum())


def random_crop(picture: LabelledPicture, side: int, max_class_share: float) -> LabelledPicture:
    """Return a square window, all places alike; the whole of a side that is not longer than `side`.

    A window that is not varied is drawn anew, ten times at most; the tenth is taken as it is. A share of 1 asks for
    nothing. It draws from the global generator of `random`.
    """
    window = _drawn_window(picture, side)
    if max_class_share < 1:
        for _ in range(CROP_RETRIES):
            if is_varied(window.labels, max_class_share):
                break
            window = _drawn_window(picture, side)
    return window


def _drawn_window(picture: LabelledPicture, side: int) -> LabelledPicture:
    top, left = (random.randint(0, max(length - side, 0)) for length in picture.size)
    return crop(picture, top, left, side)


def mirror(picture: LabelledPicture) -> LabelledPicture:
    """Return a picture and its labels with left and right exchanged."""
    return LabelledPicture(picture.pixels[:, ::-1], picture.labels[:, ::-1])


def augment(picture: LabelledPicture, segmentation: SegmentationSettings, hflip_prob: float) -> LabelledPicture:
    """Return a picture as training sees it, at most crop_px high and wide: resized, cropped, mirrored, distorted.

    It draws from the global generator of `random`.
    """
    factor = random.uniform(segmentation.min_resize_factor, segmentation.max_resize_factor)
    picture = resize(picture, training_size(picture.size, segmentation, factor))
    picture = random_crop(picture, segmentation.crop_px, segmentation.max_class_share)
    if random.random() < hflip_prob:
        picture = mirror(picture)
    if segmentation.photometric_distortion:
        picture = LabelledPicture(distort(picture.pixels, draw_distortion()), picture.labels)
    return picture
