import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dit_bench.data.segmentation import transforms
from dit_bench.data.segmentation.transforms import (
    LabelledPicture,
    augment,
    crop,
    is_varied,
    mirror,
    network_pixels,
    network_size,
    random_crop,
    resize,
    resize_pixels,
    training_size,
)
from dit_bench.recipes.dense_settings import SegmentationSettings

ADE = SegmentationSettings()
SIDES = st.integers(1, 60)


def chart(height, width):
    """A picture that says where each pixel was: red its row, green its column, and label (3 row + column) mod 251."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)
    return LabelledPicture(pixels, ((3 * rows + columns) % 251).astype(np.uint8))


def assert_labels_belong_to_pixels(picture):
    rows, columns = picture.pixels[..., 0].astype(int), picture.pixels[..., 1].astype(int)
    np.testing.assert_array_equal(picture.labels, (3 * rows + columns) % 251)


def noise(height, width):
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_torch(pixels, size):
    """Bilinear with averaging, in floating point."""
    maps = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    resized = functional.interpolate(maps, size=size, mode="bilinear", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).numpy()


# sizes


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [
        ((480, 640), 1.0, (512, 683)),
        ((480, 640), 0.7, (358, 477)),  # 358.4 becomes 358, and 640 * 358 / 480 = 477.3
        ((480, 640), 2.0, (1024, 1365)),
        ((683, 512), 0.5, (342, 256)),  # 341.5 is rounded up
        ((100, 2000), 1.0, (102, 2048)),
        ((100, 2000), 0.5, (51, 1024)),
        ((512, 512), 1.0, (512, 512)),
        ((512, 512), 0.998, (510, 510)),  # 510.98
        ((100, 2000), 0.998, (102, 2043)),  # 2043.9
    ],
)
def test_training_sizes_fit_into_the_scaled_limits(size, factor, expected):
    assert training_size(size, ADE, factor) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (512, 704)),  # 512 x 683, then up
        ((360, 480), (512, 704)),
        ((512, 512), (512, 512)),
        ((1365, 1024), (704, 512)),
        ((100, 2000), (128, 2048)),  # 102 x 2048: the long side decides
    ],
)
def test_test_sizes_are_rounded_up_to_32(size, expected):
    assert network_size(size, ADE) == expected


@given(height=SIDES, width=SIDES, short=st.integers(16, 96), extra=st.integers(0, 90))
@settings(max_examples=60, deadline=None)
def test_network_pixels_have_the_network_size(height, width, short, extra):
    options = SegmentationSettings(
        short_side_px=short, test_short_side_px=short, max_long_side_px=short + extra, crop_px=32
    )
    size = network_size((height, width), options)
    pixels = network_pixels(noise(height, width), options)
    assert pixels.shape == (*size, 3)
    assert size[0] % 32 == size[1] % 32 == 0
    scale = min(short / min(height, width), (short + extra) / max(height, width))
    for side, old in zip(size, (height, width), strict=True):
        assert -0.5 <= side - scale * old < 32.5


def test_test_images_are_resized_twice():
    options = SegmentationSettings(short_side_px=64, test_short_side_px=70, max_long_side_px=200, crop_px=64)
    pixels = noise(50, 61)
    kept = by_torch(pixels, (70, 85)).round().clip(0, 255).astype(np.uint8)
    difference = network_pixels(pixels, options) - by_torch(kept, (96, 96))
    assert np.abs(difference).max() < 2.1
    # in one step it would be another picture
    assert np.abs(by_torch(pixels, (96, 96)) - by_torch(kept, (96, 96))).max() > 10


# resizing


@pytest.mark.parametrize("size", [(30, 44), (61, 130), (110, 40), (53, 81)])
def test_pixels_are_bilinear_and_labels_nearest(size):
    """Odd sides, so that no new centre lies between two old pixels."""
    picture = LabelledPicture(noise(53, 81), np.random.default_rng(1).integers(0, 256, (53, 81), dtype=np.uint8))
    after = resize(picture, size)
    assert after.size == after.labels.shape == size
    assert np.abs(after.pixels - by_torch(picture.pixels, size)).max() < 1.1
    labels = torch.from_numpy(picture.labels)[None, None].float()
    nearest = functional.interpolate(labels, size=size, mode="nearest-exact")[0, 0].numpy()
    np.testing.assert_array_equal(after.labels, nearest)


@given(height=SIDES, width=SIDES, new_height=SIDES, new_width=SIDES)
@settings(max_examples=60, deadline=None)
def test_resizing_invents_no_label(height, width, new_height, new_width):
    labels = np.random.default_rng(height + 61 * width).choice(np.array([3, 90, 149, 255], np.uint8), (height, width))
    after = resize(LabelledPicture(noise(height, width), labels), (new_height, new_width))
    assert after.labels.dtype == after.pixels.dtype == np.uint8
    assert after.size == after.labels.shape == (new_height, new_width)
    assert set(np.unique(after.labels)) <= set(np.unique(labels))


def test_mirroring_and_resizing_commute():
    picture = LabelledPicture(noise(40, 51), chart(40, 51).labels)
    for size in ((31, 37), (83, 120), (40, 51)):
        one, other = mirror(resize(picture, size)), resize(mirror(picture), size)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1


def test_a_picture_of_the_right_size_is_left_alone():
    pixels = noise(32, 64)
    assert resize_pixels(pixels, (32, 64)) is pixels


# cropping


@given(height=SIDES, width=SIDES, side=st.integers(1, 70), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_a_crop_is_a_window_with_its_labels(height, width, side, seed):
    random.seed(seed)
    window = random_crop(chart(height, width), side, 0.75)
    assert window.size == window.labels.shape == (min(side, height), min(side, width))
    assert_labels_belong_to_pixels(window)
    top, left = window.pixels[0, 0, 0], window.pixels[0, 0, 1]
    np.testing.assert_array_equal(window.pixels[:, 0, 0], np.arange(top, top + window.size[0]))
    np.testing.assert_array_equal(window.pixels[0, :, 1], np.arange(left, left + window.size[1]))


def test_every_place_is_drawn():
    random.seed(0)
    corners = {tuple(random_crop(chart(6, 8), 5, 1.0).pixels[0, 0, :2].tolist()) for _ in range(200)}
    assert corners == {(top, left) for top in range(2) for left in range(4)}


@pytest.mark.parametrize(
    ("counts", "varied"),
    [
        ({0: 74, 1: 26}, True),
        ({0: 75, 1: 25}, False),  # the share has to stay below
        ({0: 100}, False),
        ({255: 90, 0: 5, 1: 5}, True),  # what is ignored is no class
        ({255: 90, 0: 10}, False),
        ({255: 100}, False),
        ({254: 50, 149: 50}, True),
    ],
)
def test_what_a_varied_crop_is(counts, varied):
    labels = np.concatenate([np.full(number, label, np.uint8) for label, number in counts.items()]).reshape(10, 10)
    assert is_varied(labels, 0.75) is varied


@pytest.fixture
def draws(monkeypatch):
    """The windows that `random_crop` drew."""
    drawn = []

    def record(picture, top, left, side):
        drawn.append((top, left))
        return crop(picture, top, left, side)

    monkeypatch.setattr(transforms, "crop", record)
    return drawn


def test_a_crop_is_drawn_ten_times_more_at_most(draws):
    random.seed(0)
    plain = LabelledPicture(noise(40, 40), np.zeros((40, 40), np.uint8))
    window = random_crop(plain, 8, 0.75)
    assert len(draws) == 11
    np.testing.assert_array_equal(window.pixels, plain.pixels[draws[-1][0] :, draws[-1][1] :][:8, :8])
    draws.clear()
    random_crop(plain, 8, 1.0)
    assert len(draws) == 1


def test_the_first_varied_crop_is_taken(draws):
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = np.arange(20) % 5
    counts = []
    for seed in range(60):
        random.seed(seed)
        draws.clear()
        window = random_crop(LabelledPicture(noise(40, 40), labels), 6, 0.75)
        varied = [is_varied(labels[top : top + 6, left : left + 6], 0.75) for top, left in draws]
        assert not any(varied[:-1])
        assert varied[-1] == is_varied(window.labels, 0.75)
        assert varied[-1] or len(draws) == 11
        counts.append(len(draws))
    assert counts.count(1) > 15
    assert max(counts) > 2


# all together


def quarters(height=90, width=120):
    """Four coloured areas with their labels, and the colours by label."""
    rows, columns = np.mgrid[:height, :width]
    labels = (2 * (rows > height // 2) + (columns > width // 2)).astype(np.uint8)
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]], np.uint8)
    return LabelledPicture(colours[labels], labels), colours


def test_labels_stay_on_their_pixels_through_everything():
    picture, colours = quarters()
    options = SegmentationSettings(
        short_side_px=90, test_short_side_px=64, max_long_side_px=300, crop_px=64, photometric_distortion=False
    )
    random.seed(0)
    sizes, flips = set(), set()
    for _ in range(40):
        after = augment(picture, options, 0.5)
        assert max(after.size) <= 64
        wrong = np.abs(after.pixels.astype(int) - colours[after.labels]).max(axis=2) > 8
        assert wrong.mean() < 0.12  # the seams blend
        sizes.add(after.size)
        assert after.labels.max() <= 3
        left, right = after.labels[0, 0], after.labels[0, -1]
        flips.add(int(left) - int(right))
    assert len(sizes) > 5
    assert {-1, 1} <= flips


def test_distortion_changes_pixels_but_no_label():
    picture, _ = quarters()
    plain = SegmentationSettings(
        short_side_px=90, test_short_side_px=64, max_long_side_px=300, crop_px=64, photometric_distortion=False
    )
    distorting = plain.model_copy(update={"photometric_distortion": True})
    changed = 0
    for seed in range(20):
        random.seed(seed)
        before = augment(picture, plain, 0.5)
        random.seed(seed)
        after = augment(picture, distorting, 0.5)
        np.testing.assert_array_equal(after.labels, before.labels)
        assert after.pixels.shape == before.pixels.shape
        changed += not np.array_equal(after.pixels, before.pixels)
    assert changed > 12


def test_mirroring_happens_as_often_as_asked():
    options = SegmentationSettings(
        short_side_px=30, test_short_side_px=30, max_long_side_px=60, crop_px=40, max_class_share=1.0,
        min_resize_factor=1.0, max_resize_factor=1.0, photometric_distortion=False,
    )  # fmt: skip
    random.seed(1)
    for probability, low, high in ((0.0, 0, 0), (1.0, 200, 200), (0.5, 80, 120)):
        flipped = 0
        for _ in range(200):
            after = augment(chart(30, 40), options, probability)
            assert_labels_belong_to_pixels(after)
            flipped += int(after.pixels[0, 0, 1] == 39)
        assert low <= flipped <= high
