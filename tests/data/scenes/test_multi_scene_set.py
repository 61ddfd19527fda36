import numpy as np
import pytest

from dit_bench.data.scenes import multi_scene_set
from dit_bench.data.scenes.multi_scene_set import load_multi_scenes, render_multi_scene
from dit_bench.data.scenes.render import Digit
from dit_bench.recipes.settings import DataSettings

SMALL = DataSettings(train_images=60, tune_images=20, val_images=20, image_size_px=48)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return load_multi_scenes("train", SMALL, tmp_path_factory.mktemp("cache"))


def test_one_to_five_digits_each_with_enough_visible_pixels(scenes):
    counts = [len(scenes.instances(k).classes) for k in range(len(scenes))]
    assert set(counts) == {1, 2, 3, 4, 5}
    for k in range(len(scenes)):
        assert (scenes.instances(k).masks.sum(axis=(1, 2)) >= multi_scene_set.MIN_VISIBLE_PX).all()


def test_boxes_are_tight_on_the_visible_pixels(scenes):
    for k in range(len(scenes)):
        instances = scenes.instances(k)
        assert instances.boxes.dtype == np.float64
        assert instances.masks.dtype == bool
        for (x, y, width, height), mask in zip(instances.boxes, instances.masks, strict=True):
            rows, columns = np.nonzero(mask)
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())


def test_masks_are_disjoint_and_the_semantic_map_is_their_union(scenes):
    for k in range(len(scenes)):
        instances, semantic = scenes.instances(k), scenes.semantic_map(k)
        assert semantic.dtype == np.uint8
        assert instances.masks.sum(axis=0).max() == 1
        expected = np.zeros_like(semantic)
        for label, mask in zip(instances.classes, instances.masks, strict=True):
            expected[mask] = label + 1
        np.testing.assert_array_equal(semantic, expected)


def test_overlap_is_limited():
    for k in range(40):
        digits = multi_scene_set._place_digits(np.random.default_rng(k), "val", 48, (0.25, 0.9))
        for n, a in enumerate(digits):
            for b in digits[:n]:
                cover = np.zeros((2, 48, 48), bool)
                for layer, digit in zip(cover, (a, b), strict=True):
                    layer[digit.top : digit.top + digit.side, digit.left : digit.left + digit.side] = True
                assert cover.all(axis=0).sum() <= 0.35 * min(a.side, b.side) ** 2


def block(left: int, top: int, side: int, label: int) -> Digit:
    return Digit(np.ones((side, side), np.float32), np.full(3, 200, np.float32), left, top, label)


def test_later_digits_occlude_earlier_ones():
    numbers = multi_scene_set._instance_map([block(0, 0, 6, 1), block(4, 4, 6, 2)], 12)
    assert (numbers == 1).sum() == 36 - 4
    assert (numbers == 2).sum() == 36
    assert numbers[4, 4] == 2


def test_a_pixel_belongs_to_a_digit_from_half_opacity_on():
    faint = Digit(np.array([[0.49, 0.5], [0.51, 0.1]], np.float32), np.full(3, 200, np.float32), 1, 0, 4)
    assert multi_scene_set._instance_map([faint], 3).tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_a_digit_that_nobody_can_see_is_not_in_the_scene(monkeypatch):
    """The second square hides the first one: that one goes, and everything after it moves up."""
    drawn = iter([block(0, 0, 4, 1), block(0, 0, 13, 2), block(20, 20, 5, 3)] * 100)
    monkeypatch.setattr(multi_scene_set, "draw_digit", lambda *_: next(drawn))
    monkeypatch.setattr(multi_scene_set, "MAX_OVERLAP", 1.0)

    class ThreeDigits:
        def integers(self, *_):
            return 3

    placed = multi_scene_set._place_digits(ThreeDigits(), "val", 32, (0.1, 0.5))  # type: ignore[arg-type]
    assert [digit.label for digit in placed] == [2, 3]


def test_masks_lie_on_the_tint_of_their_digit(scenes):
    """Where a digit is, the scene is brighter than the darkened photograph: a mask out of place would not be."""
    inside = np.mean([scenes.images[k][scenes.semantic_map(k) > 0].max(axis=1).mean() for k in range(len(scenes))])
    outside = np.mean([scenes.images[k][scenes.semantic_map(k) == 0].max(axis=1).mean() for k in range(len(scenes))])
    assert inside > 190
    assert outside < 110


def test_cached_prefix_and_hash(scenes, tmp_path):
    few = load_multi_scenes("train", SMALL.model_copy(update={"train_images": 5}), tmp_path)
    again = load_multi_scenes("train", SMALL.model_copy(update={"train_images": 5}), tmp_path)
    assert few.manifest_sha256() == again.manifest_sha256() != scenes.manifest_sha256()
    for name in ("images", "instance_maps", "classes"):
        np.testing.assert_array_equal(getattr(few, name), getattr(scenes, name)[:5])


def test_clutter_leaves_the_digits_alone():
    bare = render_multi_scene(3, "tune", 8, size=48, scales=(0.25, 0.9), clutter=0)
    cluttered = render_multi_scene(3, "tune", 8, size=48, scales=(0.25, 0.9), clutter=9)
    np.testing.assert_array_equal(bare[1], cluttered[1])
    np.testing.assert_array_equal(bare[2], cluttered[2])
    assert (bare[0] != cluttered[0]).any()
