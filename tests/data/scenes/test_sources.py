from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from dit_bench.data.scenes.sources import Split, digit_indices, digit_pool, photo_regions, region_box

SPLITS: tuple[Split, ...] = ("train", "tune", "val")
PIXELS, TARGETS = (np.asarray(part) for part in load_digits(return_X_y=True))


def test_no_digit_is_in_two_splits():
    members = {split: np.concatenate(digit_indices(split)) for split in SPLITS}
    drawings = {split: {PIXELS[k].tobytes() for k in members[split]} for split in SPLITS}
    for a, b in (("train", "tune"), ("train", "val"), ("tune", "val")):
        assert not set(members[a]) & set(members[b])
        assert not drawings[a] & drawings[b]
    assert sum(len(drawing) for drawing in drawings.values()) == len({row.tobytes() for row in PIXELS})


def test_pools_are_stratified_and_carry_the_right_class():
    for split, expected in zip(SPLITS, ({100}, {30}, set(range(40, 56))), strict=True):
        for label, index in enumerate(digit_indices(split)):
            assert len(index) in expected
            assert (TARGETS[index] == label).all()


def test_pool_holds_the_bundled_greys_in_a_dark_margin():
    index, pool = digit_indices("val")[7], digit_pool("val")[7]
    np.testing.assert_array_equal(pool[:, 1:-1, 1:-1], np.round(PIXELS[index].reshape(-1, 8, 8) * 255 / 16))
    assert pool[:, 0].max() == pool[:, -1].max() == pool[:, :, 0].max() == pool[:, :, -1].max() == 0


@pytest.mark.parametrize(("height", "width"), [(427, 640), (5, 7)])
def test_photo_regions_share_no_pixel_and_leave_none_out(height, width):
    owners = np.zeros((height, width), int)
    for split in SPLITS:
        left, top, right, bottom = region_box(split, height, width)
        owners[top:bottom, left:right] += 1
    assert (owners == 1).all()


def test_regions_show_the_bundled_photographs():
    photos: Any = load_sample_images()["images"]  # type: ignore[call-overload]
    for photo, train, val in zip(photos, photo_regions("train"), photo_regions("val"), strict=True):
        np.testing.assert_array_equal(np.asarray(train), photo[:, :320])
        np.testing.assert_array_equal(np.asarray(val), photo[213:, 320:])
