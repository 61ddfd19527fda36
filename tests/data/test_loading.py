import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dit_bench.data.imagenet import ImageFolderSet
from dit_bench.data.loading import (
    build_dataset,
    check_augment,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from dit_bench.data.order import epoch_length, epoch_order, epoch_shifts
from dit_bench.data.transforms import evaluation_transform, normalise_images
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.settings import AugmentSettings, DataSettings

DEIT = AugmentSettings(
    random_resized_crop=True, hflip_prob=0.5, rand_augment="rand-m9-mstd0.5-inc1", random_erasing_prob=0.5
)
SHIFT = AugmentSettings(shift_px=3)
SCENES = DataSettings(train_images=50, tune_images=20, val_images=23, image_size_px=24)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """24 training and 9 validation images of noise in three classes, none square."""
    root = tmp_path_factory.mktemp("folder")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for name in ("a", "b", "c"):
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 256, (30 + k, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{k}.png")
    return root


@pytest.fixture
def data(folder):
    return DataSettings(dataset="imagenet", root=str(folder), image_size_px=16)


def epoch(dataset, data, augment, **options):
    every: dict[str, Any] = {"batch_size": 4, "seed": 3, "epoch": 2} | options
    return list(training_batches(dataset, data, augment, **every))


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for batch, other in zip(a, b, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(batch, other, strict=True))


# what a data set is


def test_scenes_and_folders_are_built_from_settings(cache, data, folder):
    scenes = build_dataset(SCENES, "val", cache)
    assert (len(scenes), scenes.num_classes) == (23, 10)
    images = build_dataset(data, "val")
    assert (len(images), images.num_classes, images.class_names) == (9, 3, ("a", "b", "c"))
    assert scenes.manifest_sha256() != images.manifest_sha256()


def test_training_images_are_set_aside_only_where_tune_is_evaluated(data):
    assert len(build_dataset(data, "train")) == 24
    assert len(build_dataset(data.model_copy(update={"eval_split": "tune"}), "train")) == 21


def test_missing_root_is_explained():
    with pytest.raises(DataError, match=r"data\.root is not set.*image-net\.org"):
        build_dataset(DataSettings(dataset="imagenet"), "train")


# order


def test_order_depends_on_seed_and_epoch_alone():
    one = epoch_order(50, 1, seed=0, epoch=0)
    assert sorted(one) == list(range(50))
    np.testing.assert_array_equal(one, epoch_order(50, 1, seed=0, epoch=0))
    assert (one != epoch_order(50, 1, seed=0, epoch=1)).any()
    assert (one != epoch_order(50, 1, seed=1, epoch=0)).any()


def test_repeated_augmentation_shows_fewer_images_more_often():
    assert epoch_length(1281167, 3) == 1281167 // 256 * 256
    assert epoch_length(1281167, 1) == 1281167
    assert epoch_length(255, 3) == 255
    order = epoch_order(600, 3, seed=0, epoch=0)
    assert len(order) == 512
    counts = Counter(order.tolist())
    assert sorted(counts.values()) == [2] + [3] * 170
    np.testing.assert_array_equal(order[:3], np.repeat(order[0], 3))


def test_shifts_cover_their_range():
    shifts = epoch_shifts(400, 2, seed=0, epoch=0)
    assert {tuple(shift) for shift in shifts.tolist()} == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}


# training batches


@pytest.mark.parametrize("augment", [SHIFT, AugmentSettings()])
def test_scene_batches_resume_bitwise(cache, augment):
    scenes = build_dataset(SCENES, "train", cache)
    whole = epoch(scenes, SCENES, augment)
    assert len(whole) == steps_per_epoch(scenes, augment, 4) == 12
    for images, labels in whole:
        assert images.shape == (4, 3, 24, 24)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
    assert_same(epoch(scenes, SCENES, augment, start_step=7), whole[7:])
    assert not torch.equal(epoch(scenes, SCENES, augment, epoch=3)[0][0], whole[0][0])
    assert not torch.equal(epoch(scenes, SCENES, augment, seed=4)[0][0], whole[0][0])
    assert epoch(scenes, SCENES, augment, start_step=12) == []


def test_scene_batches_hold_the_scenes_of_the_order(cache):
    scenes = build_dataset(SCENES, "train", cache)
    order = epoch_order(50, 1, seed=3, epoch=2)
    images, labels = epoch(scenes, SCENES, AugmentSettings())[1]
    assert labels.tolist() == scenes.labels[order[4:8]].tolist()
    expected = normalise_images(np.stack([scenes.read(k) for k in order[4:8]]))
    assert torch.equal(images, expected)
    shifted, _ = epoch(scenes, SCENES, SHIFT)[1]
    assert not torch.equal(shifted, expected)


def test_batch_size_does_not_change_a_sample(cache, folder, data):
    for dataset, settings, augment in (
        (build_dataset(SCENES, "train", cache), SCENES, SHIFT),
        (build_dataset(data, "train"), data, DEIT),
    ):
        fours, eights = epoch(dataset, settings, augment), epoch(dataset, settings, augment, batch_size=8)
        for k, (images, _) in enumerate(eights):
            assert torch.equal(images, torch.cat([fours[2 * k][0], fours[2 * k + 1][0]]))


def test_folder_batches_do_not_depend_on_workers_or_resuming(data):
    train = build_dataset(data, "train")
    whole = epoch(train, data, DEIT)
    assert len(whole) == 6
    assert whole[0][0].shape == (4, 3, 16, 16)
    assert_same(epoch(train, data, DEIT, workers=2), whole)
    assert_same(epoch(train, data, DEIT, start_step=4), whole[4:])
    order = epoch_order(24, 1, seed=3, epoch=2)
    assert torch.cat([labels for _, labels in whole]).tolist() == train.labels[order].tolist()


def test_repeats_of_an_image_are_augmented_differently(data):
    train = build_dataset(data, "train")
    augment = DEIT.model_copy(update={"repeated_augmentation": 3})
    images, labels = epoch(train, data, augment, batch_size=3)[0]
    assert len(set(labels.tolist())) == 1
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_loading_leaves_the_global_generators_alone(data, cache):
    def draw():
        return random.random(), np.random.random(), torch.rand(1).item()

    def reset():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    reset()
    expected = draw()
    for dataset, settings, augment in (
        (build_dataset(data, "train"), data, DEIT),
        (build_dataset(SCENES, "train", cache), SCENES, SHIFT),
    ):
        reset()
        epoch(dataset, settings, augment)
        list(evaluation_batches(dataset, settings, batch_size=5))
        assert draw() == expected


def test_batch_larger_than_the_epoch_is_refused(cache):
    scenes = build_dataset(SCENES, "train", cache)
    with pytest.raises(UsageError, match=r"optimiser\.batch_size=51 .* 50 images"):
        training_batches(scenes, SCENES, SHIFT, batch_size=51, seed=0, epoch=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("random_resized_crop", True), ("hflip_prob", 0.5), ("rand_augment", "rand-m9"), ("random_erasing_prob", 0.1)],
)
def test_augmentation_of_the_other_data_set_is_refused(key, value, data):
    augment = AugmentSettings(**{key: value})
    check_augment(data, augment)
    with pytest.raises(UsageError, match=rf"augment\.{key}="):
        check_augment(SCENES, augment)
    check_augment(SCENES, SHIFT)
    with pytest.raises(UsageError, match=r"augment\.shift_px=3"):
        check_augment(data, SHIFT)


# evaluation batches


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_scene_evaluation_covers_each_image_once(cache, batch_size):
    scenes = build_dataset(SCENES, "val", cache)
    batches = list(evaluation_batches(scenes, SCENES, batch_size=batch_size))
    assert torch.cat([index for index, _, _ in batches]).tolist() == list(range(23))
    assert torch.equal(torch.cat([images for _, images, _ in batches]), normalise_images(scenes.images))  # type: ignore[attr-defined]
    assert torch.cat([labels for _, _, labels in batches]).tolist() == scenes.labels.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_folder_evaluation_covers_each_image_once(data, workers):
    val = build_dataset(data, "val")
    batches = list(evaluation_batches(val, data, batch_size=4, workers=workers))
    assert torch.cat([index for index, _, _ in batches]).tolist() == list(range(9))
    assert torch.cat([labels for _, _, labels in batches]).tolist() == val.labels.tolist()
    transform = evaluation_transform(data)
    expected = torch.stack([transform(Image.fromarray(val.read(k))) for k in range(9)])
    assert torch.equal(torch.cat([images for _, images, _ in batches]), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_image_stops_the_epoch_with_its_path(tmp_path, workers):
    for split in ("train", "val"):
        for k in range(6):
            file = tmp_path / split / "a" / f"{k}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (k, k, k)).save(file)
    for split in ("train", "val"):
        (tmp_path / split / "a" / "4.png").write_bytes(b"broken")
    data = DataSettings(dataset="imagenet", root=str(tmp_path), image_size_px=16)
    train, val = ImageFolderSet(tmp_path, "train", exclude_tune=False), ImageFolderSet(tmp_path, "val")
    for batches, name in (
        (training_batches(train, data, AugmentSettings(), batch_size=2, seed=0, epoch=0, workers=workers), "train"),
        (evaluation_batches(val, data, batch_size=2, workers=workers), "val"),
    ):
        with pytest.raises(DataError) as caught:
            list(batches)
        assert str(tmp_path / name / "a" / "4.png") in str(caught.value)
        assert "\n" not in str(caught.value)
