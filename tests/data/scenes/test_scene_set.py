import hashlib

import numpy as np
import pytest

from dit_bench.data.scenes import render, scene_set
from dit_bench.data.scenes.scene_set import load_scenes, scene_cache_path
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import DataSettings

SMALL = DataSettings(train_images=40, tune_images=30, val_images=30, image_size_px=32)


def changed(**update):
    return SMALL.model_copy(update=update)


def test_shapes_labels_and_names(tmp_path):
    scenes = load_scenes("train", SMALL, tmp_path)
    assert scenes.images.shape == (40, 32, 32, 3)
    assert scenes.images.dtype == np.uint8
    assert scenes.labels.dtype == np.int64
    assert scenes.num_classes == len(scenes.class_names) == 10
    assert list(scenes.class_names) == sorted(scenes.class_names)
    assert len(scenes) == 40
    for block in scenes.labels.reshape(-1, 10):
        assert sorted(block) == list(range(10))


def test_scene_k_does_not_depend_on_how_many_there_are(tmp_path):
    few, many = load_scenes("val", changed(val_images=7), tmp_path), load_scenes("val", SMALL, tmp_path)
    np.testing.assert_array_equal(few.images, many.images[:7])
    np.testing.assert_array_equal(few.labels, many.labels[:7])


def test_made_again_it_is_the_same_and_from_the_cache_too(tmp_path, monkeypatch):
    first = load_scenes("train", SMALL, tmp_path / "a")
    again = load_scenes("train", SMALL, tmp_path / "b")
    assert first.manifest_sha256() == again.manifest_sha256()

    def no_painting(*_args, **_options):
        raise AssertionError("made again although cached")

    monkeypatch.setattr(scene_set, "render_scene", no_painting)
    cached = load_scenes("train", SMALL, tmp_path / "a")
    np.testing.assert_array_equal(cached.images, first.images)
    assert [file.suffix for file in (tmp_path / "a" / "scenes").iterdir()] == [".npz"]


def test_splits_and_seeds_differ(tmp_path):
    sets = [
        load_scenes("train", changed(train_images=30), tmp_path),
        load_scenes("tune", SMALL, tmp_path),
        load_scenes("val", SMALL, tmp_path),
        load_scenes("val", changed(scene_seed=1), tmp_path),
    ]
    assert len({scenes.manifest_sha256() for scenes in sets}) == len(sets)


def test_clutter_changes_the_surroundings_of_the_same_digit(tmp_path):
    plain = load_scenes("train", changed(clutter=0), tmp_path)
    cluttered = load_scenes("train", changed(clutter=6), tmp_path)
    np.testing.assert_array_equal(plain.labels, cluttered.labels)
    share_touched = (plain.images != cluttered.images).any(axis=3).mean(axis=(1, 2))
    assert 0.05 < share_touched.mean() < 0.5


def test_fragments_never_cover_an_opaque_target_pixel():
    scales = (0.5, 0.9)
    for k in range(12):
        target = render.draw_digit(
            render.scene_rng(0, "train", "single", k), "train", 32, scales, render.class_of_scene(0, "train", k)
        )
        image, label = render.render_scene(0, "train", k, size=32, scales=scales, clutter=40)
        assert label == target.label
        window = image[target.top : target.top + target.side, target.left : target.left + target.side]
        opaque = target.opacity == 1
        assert opaque.any()
        np.testing.assert_array_equal(window[opaque], np.broadcast_to(np.rint(target.tint), (opaque.sum(), 3)))


def test_scales_bound_the_sizes_and_are_log_uniform():
    sides = []
    for k in range(600):
        digit = render.draw_digit(np.random.default_rng(k), "train", 128, (0.1, 0.8))
        sides.append(digit.side)
        assert digit.left >= 0
        assert digit.top >= 0
        assert max(digit.left, digit.top) + digit.side <= 128
    assert 13 <= min(sides) <= 15
    assert 98 <= max(sides) <= 102
    # half of the sizes lie below the geometric mean of the bounds, not below the arithmetic one
    assert np.mean(np.array(sides) < 128 * np.sqrt(0.1 * 0.8)) == pytest.approx(0.5, abs=0.07)


def test_scale_settings_reach_the_scenes(tmp_path):
    """A digit is brighter than its darkened surroundings: larger digits make brighter scenes."""
    small = load_scenes("val", changed(min_scale=0.2, max_scale=0.25, clutter=0), tmp_path)
    large = load_scenes("val", changed(min_scale=0.9, max_scale=0.9, clutter=0), tmp_path)
    assert large.images.mean() > small.images.mean() + 20


def test_every_setting_of_a_scene_has_its_own_cache_file(tmp_path):
    names = {
        scene_cache_path("digits", "val", changed(**update), tmp_path)
        for update in (
            {},
            {"val_images": 31},
            {"image_size_px": 33},
            {"scene_seed": 1},
            {"clutter": 4},
            {"min_scale": 0.26},
            {"max_scale": 0.91},
        )
    }
    names.add(scene_cache_path("digits", "tune", SMALL, tmp_path))
    names.add(scene_cache_path("multi", "val", SMALL, tmp_path))
    assert len(names) == 9


def test_manifest_is_the_hash_of_the_arrays(tmp_path):
    scenes = load_scenes("val", SMALL, tmp_path)
    digest = hashlib.sha256()
    digest.update(b"|u1(30, 32, 32, 3)" + scenes.images.tobytes())
    digest.update(b"<i8(30,)" + scenes.labels.tobytes())
    assert scenes.manifest_sha256() == digest.hexdigest()


def test_digits_too_small_to_draw_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"data\.min_scale=0\.1 at data\.image_size_px=32"):
        load_scenes("val", changed(min_scale=0.1), tmp_path)
    with pytest.raises(UsageError, match=r"min_scale=0\.0"):
        load_scenes("val", changed(min_scale=0.0), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("split", ["train", "tune", "val"])
def test_a_scene_is_made_of_its_own_split_alone(split, monkeypatch):
    asked = []
    for name in ("digit_pool", "photo_regions"):
        source = getattr(render, name)
        monkeypatch.setattr(render, name, lambda part, source=source: asked.append(part) or source(part))
    for k in range(10):
        render.render_scene(0, split, k, size=32, scales=(0.3, 0.5), clutter=2)
    assert len(asked) == 10 * (1 + 1 + 2)
    assert set(asked) == {split}


def test_scenes_of_version_1_stay_as_they_are():
    """Class, side, left and top of the first scenes. When this changes on purpose, SCENE_VERSION goes up with it."""
    assert scene_set.SCENE_VERSION == 1
    found = []
    for k in range(4):
        rng, label = render.scene_rng(0, "val", "single", k), render.class_of_scene(0, "val", k)
        digit = render.draw_digit(rng, "val", 64, (0.25, 0.9), label)
        found.append((digit.label, digit.side, digit.left, digit.top))
    assert found == [(4, 57, 0, 5), (5, 21, 6, 8), (3, 27, 3, 30), (8, 53, 5, 9)]
