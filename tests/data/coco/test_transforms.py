import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from dit_bench.data.coco.transforms import Picture, augment, crop, mirror, random_crop, resize, resized_size
from dit_bench.recipes.dense_settings import DetectionSettings

COLOURS = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250]], np.uint8)


def tight_boxes(masks):
    """Boxes around masks by pycocotools, x1, y1, x2, y2."""
    rles: Any = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    boxes = np.array([coco_mask.toBbox(rle) for rle in rles]).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def picture(height=90, width=130, seed=0):
    """Three coloured discs on black, with tight boxes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    centres, radii = rng.random((3, 2)) * [height, width], rng.integers(9, 25, 3)
    masks = np.stack([(y - v) ** 2 + (x - u) ** 2 < r**2 for (v, u), r in zip(centres, radii, strict=True)])
    masks[1] &= ~masks[0]
    masks[2] &= ~(masks[0] | masks[1])
    pixels = np.zeros((height, width, 3), np.uint8)
    for mask, colour in zip(masks, COLOURS, strict=True):
        pixels[mask] = colour
    return Picture(pixels, tight_boxes(masks), np.arange(3), masks)


def assert_masks_show_their_objects(after):
    """Every mask lies on its own colour, but for a rim that resizing blends."""
    for label, mask in zip(after.labels, after.masks, strict=True):
        inner = mask.copy()
        for axis in (0, 1):
            for step in range(-3, 4):
                inner &= np.roll(mask, step, axis)
        assert np.abs(after.pixels[inner].astype(int) - COLOURS[label]).max(initial=0) <= 12


@pytest.mark.parametrize(
    ("size", "short", "longest", "expected"),
    [
        ((480, 640), 800, 1333, (800, 1067)),  # where torchvision would give 1066
        ((640, 480), 800, 1333, (1067, 800)),
        ((427, 640), 800, 1333, (800, 1199)),
        ((300, 640), 800, 1333, (625, 1333)),
        ((640, 640), 800, 1333, (800, 800)),
        ((800, 1333), 800, 1333, (800, 1333)),
        ((480, 640), 640, 1066, (640, 853)),
        ((1, 5000), 800, 1333, (1, 1333)),
    ],
)
def test_sizes_are_those_of_mmdetection(size, short, longest, expected):
    assert resized_size(size, short, longest) == expected


def test_resized_pixels_are_those_of_pillow():
    before = picture()
    after = resize(before, 45, 1000)
    expected = Image.fromarray(before.pixels).resize((65, 45), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(after.pixels, np.asarray(expected))
    assert after.pixels.dtype == np.uint8


@pytest.mark.parametrize("short", [31, 90, 143, 200])
def test_boxes_and_masks_are_resized_together(short):
    before = picture()
    after = resize(before, short, 1000)
    height, width = after.size
    assert after.masks is not None
    assert after.masks.shape == (3, height, width)
    assert np.abs(after.boxes - tight_boxes(after.masks)).max() <= max(short / 90, 1)
    np.testing.assert_allclose(after.boxes, before.boxes * [width / 130, height / 90, width / 130, height / 90])
    assert_masks_show_their_objects(after)


def test_whole_factors_repeat_mask_pixels():
    before = picture()
    assert before.masks is not None
    after = resize(before, 270, 1000)
    np.testing.assert_array_equal(after.masks, before.masks.repeat(3, axis=1).repeat(3, axis=2))
    np.testing.assert_array_equal(after.boxes, before.boxes * 3)


def test_a_box_as_large_as_the_picture_stays_inside():
    """1399 · (1022 / 1399) is a little more than 1022 in floating point."""
    before = Picture(np.zeros((1399, 1399, 3), np.uint8), np.array([[0.0, 0, 1399, 1399]]), np.zeros(1, int), None)
    assert 1399 * (1022 / 1399) > 1022
    assert resize(before, 1022, 1333).boxes.tolist() == [[0, 0, 1022, 1022]]


def test_mirrored_masks_have_the_mirrored_boxes():
    before = picture()
    after = mirror(before)
    assert after.masks is not None
    np.testing.assert_array_equal(after.boxes, tight_boxes(after.masks))
    np.testing.assert_array_equal(
        after.pixels, np.asarray(Image.fromarray(before.pixels).transpose(Image.Transpose(0)))
    )
    assert_masks_show_their_objects(after)
    twice = mirror(after)
    for name in ("pixels", "boxes", "labels", "masks"):
        np.testing.assert_array_equal(getattr(twice, name), getattr(before, name))


def test_mirroring_and_resizing_commute():
    first, second = mirror(resize(picture(), 137, 1000)), resize(mirror(picture()), 137, 1000)
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_allclose(first.boxes, second.boxes)


def test_a_crop_cuts_boxes_and_masks_alike():
    for seed in range(20):
        before = picture(seed=seed)
        rng = np.random.default_rng(seed)
        top, left, height, width = *rng.integers(0, 30, 2).tolist(), *rng.integers(30, 60, 2).tolist()
        after = crop(before, top, left, height, width)
        assert after.size == (height, width)
        np.testing.assert_array_equal(after.pixels, before.pixels[top : top + height, left : left + width])
        window = Image.fromarray(before.pixels).crop((left, top, left + width, top + height))
        np.testing.assert_array_equal(after.pixels, np.asarray(window))
        assert after.masks is not None
        assert after.masks.shape[1:] == (height, width)
        assert_masks_show_their_objects(after)
        boxes = before.boxes
        inside = (np.minimum(boxes[:, 2:], [left + width, top + height]) - np.maximum(boxes[:, :2], [left, top])) >= 1
        assert after.labels.tolist() == np.flatnonzero(inside.all(axis=1)).tolist()


def test_objects_at_the_edge_of_a_crop():
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10.99, 20], [0, 0, 11, 20], [12, 12, 40, 40]])
    before = Picture(np.zeros((50, 50, 3), np.uint8), boxes, np.arange(4), None)
    after = crop(before, 5, 10, 20, 20)
    assert after.labels.tolist() == [2, 3]
    assert after.boxes.tolist() == [[0, 0, 1, 15], [2, 7, 20, 20]]


def test_a_crop_without_objects_is_kept():
    before = picture()
    before.pixels[:30, :30] = 0
    empty = Picture(before.pixels, np.array([[100.0, 60, 120, 80]]), np.zeros(1, int), np.zeros((1, 90, 130), bool))
    after = crop(empty, 0, 0, 30, 30)
    assert after.masks is not None
    assert (after.boxes.shape, after.labels.shape, after.masks.shape) == ((0, 4), (0,), (0, 30, 30))
    assert resize(after, 60, 100).boxes.shape == (0, 4)
    assert mirror(after).boxes.shape == (0, 4)


def test_random_windows_have_384_to_600_px_within_the_picture():
    random.seed(0)
    large = Picture(np.zeros((650, 500, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, int), None)
    sizes = [random_crop(large).size for _ in range(3000)]
    heights, widths = zip(*sizes, strict=True)
    assert (min(heights), max(heights)) == (384, 600)
    assert (min(widths), max(widths)) == (384, 500)
    small = Picture(np.zeros((100, 450, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, int), None)
    assert {random_crop(small).size[0] for _ in range(50)} == {100}


def test_random_windows_reach_every_edge():
    random.seed(0)
    coordinates = np.stack([*np.mgrid[:40, :393], np.zeros((40, 393))], axis=-1)
    before = Picture(coordinates.astype(np.int64), np.zeros((0, 4)), np.zeros(0, int), None)
    corners = [random_crop(before).pixels for _ in range(400)]
    assert {int(window[0, 0, 1]) for window in corners} == set(range(10))
    assert {int(window[-1, -1, 1]) for window in corners} == set(range(383, 393))


SIDES = [48, 64, 80]


def test_short_sides_are_drawn_alike_often():
    random.seed(0)
    detection = DetectionSettings(short_sides_px=SIDES, max_long_side_px=1000, test_short_side_px=64)
    before = picture(60, 60)
    counts = Counter(augment(before, detection, 0.0).size for _ in range(600))
    assert set(counts) == {(side, side) for side in SIDES}
    assert min(counts.values()) > 150


@pytest.mark.parametrize(("prob", "share"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_pictures_are_mirrored_with_the_probability(prob, share):
    random.seed(0)
    detection = DetectionSettings(short_sides_px=[90], max_long_side_px=1000, test_short_side_px=90)
    before = picture()
    mirrored = [not np.array_equal(augment(before, detection, prob).pixels, before.pixels) for _ in range(200)]
    assert abs(np.mean(mirrored) - share) < 0.1


def test_half_of_the_pictures_are_cropped():
    """A square picture stays square unless it is cropped (a square window of 384 to 400 px is rare)."""
    random.seed(0)
    detection = DetectionSettings(short_sides_px=[48], max_long_side_px=1333, test_short_side_px=48, random_crop=True)
    before = picture(60, 60)
    after = [augment(before, detection, 0.0) for _ in range(100)]
    assert abs(np.mean([one.size != (48, 48) for one in after]) - 0.5) < 0.15
    assert {min(one.size) for one in after} == {48}
    for one in after:
        assert_masks_show_their_objects(one)
