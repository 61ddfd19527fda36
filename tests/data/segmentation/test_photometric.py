import colorsys
import random

import numpy as np
import pytest

from dit_bench.data.segmentation.photometric import Distortion, distort, draw_distortion


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)


def recoloured(pixels, saturation=1.0, degrees=0.0):
    """The same in floating point by Python's own colour arithmetic."""
    out = np.empty(pixels.shape)
    for place in np.ndindex(pixels.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*(pixels[place] / 255))
        out[place] = colorsys.hsv_to_rgb((h + degrees / 360) % 1, min(s * saturation, 1), v)
    return 255 * out


def test_no_distortion_changes_nothing(pixels):
    np.testing.assert_array_equal(distort(pixels, Distortion()), pixels)


def test_brightness_shifts_and_contrast_scales_within_eight_bits():
    pixels = np.array([[[0, 100, 250], [3, 200, 9]]], np.uint8)
    assert distort(pixels, Distortion(brightness=20.4)).tolist() == [[[20, 120, 255], [23, 220, 29]]]
    assert distort(pixels, Distortion(brightness=-10.0)).tolist() == [[[0, 90, 240], [0, 190, 0]]]
    assert distort(pixels, Distortion(contrast=1.5)).tolist() == [[[0, 150, 255], [4, 255, 14]]]
    assert distort(pixels, Distortion(contrast=0.5)).tolist() == [[[0, 50, 125], [2, 100, 4]]]
    # brightness comes first, and clips before contrast
    assert distort(pixels, Distortion(brightness=20.0, contrast=0.5)).tolist() == [[[10, 60, 128], [12, 110, 14]]]


@pytest.mark.parametrize(
    ("saturation", "degrees"), [(0.5, None), (1.5, None), (None, 36.0), (None, -36.0), (None, 10.0), (0.7, 25.0)]
)
def test_saturation_and_hue_follow_colour_theory(pixels, saturation, degrees):
    ours = distort(pixels, Distortion(saturation=saturation, hue_degrees=degrees)).astype(float)
    expected = recoloured(pixels, saturation or 1.0, degrees or 0.0)
    # hue and saturation have 8 bits, which is up to 1.4 degrees and 0.4 % of saturation, rounded twice
    assert np.abs(ours - expected).max() < 14
    assert np.abs(ours - expected).mean() < 2
    assert np.abs(expected - pixels).mean() > 5
    # the brightest channel of a pixel, its value, is untouched
    assert np.abs(ours.max(axis=2) - pixels.max(axis=2)).max() <= 1


def test_hues_go_round_the_circle():
    red = np.array([[[200, 0, 0]]], np.uint8)
    back = distort(red, Distortion(hue_degrees=-36.0))[0, 0].tolist()
    forth = distort(red, Distortion(hue_degrees=36.0))[0, 0].tolist()
    assert np.abs(np.subtract(back, [200, 0, 120])).max() <= 4
    assert np.abs(np.subtract(forth, [200, 120, 0])).max() <= 4


def test_contrast_comes_before_or_after_the_colours():
    pixels = np.array([[[240, 120, 60]]], np.uint8)
    options = {"contrast": 1.5, "saturation": 0.5}
    first = distort(pixels, Distortion(**options, contrast_first=True))[0, 0].tolist()
    last = distort(pixels, Distortion(**options, contrast_first=False))[0, 0].tolist()
    # (255, 180, 90) half as saturated; (240, 180, 150) times 1.5
    assert np.abs(np.subtract(first, [255, 217, 172])).max() <= 3
    assert np.abs(np.subtract(last, [255, 255, 225])).max() <= 3


def test_each_property_changes_in_half_of_the_cases():
    random.seed(0)
    drawn = [draw_distortion() for _ in range(4000)]
    limits = {"brightness": (-32, 32), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue_degrees": (-36, 36)}
    for name, (low, high) in limits.items():
        values = np.array([value for one in drawn if (value := getattr(one, name)) is not None])
        assert 1850 < len(values) < 2150
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.03 * (high - low)
    assert 1850 < sum(one.contrast_first for one in drawn) < 2150
    together = sum(one.brightness is not None and one.hue_degrees is not None for one in drawn)
    assert 900 < together < 1100
