import random
from typing import Any

import numpy as np
import pytest
import torch

from dit_bench.data.order import sample_generators
from dit_bench.data.scenes.multi_scene_set import load_multi_scenes
from dit_bench.data.segmentation.ade_set import AdeSet
from dit_bench.data.segmentation.batching import (
    segmentation_evaluation_batches,
    segmentation_steps_per_epoch,
    segmentation_training_batches,
)
from dit_bench.data.segmentation.scene_segmentation_set import SceneSegmentationSet
from dit_bench.data.segmentation.transforms import LabelledPicture, augment
from dit_bench.data.transforms import denormalise_images, normalise_images
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.dense_settings import SegmentationSettings
from dit_bench.recipes.settings import DataSettings

# with fewer cores than workers, as on a shared machine, the result is the same
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")

DATA = DataSettings(dataset="ade20k")
OPTIONS = SegmentationSettings(short_side_px=64, test_short_side_px=48, max_long_side_px=100, crop_px=64)
NAMES = ("sky", "road", "car", "tree")


@pytest.fixture
def train(small):
    return AdeSet(small, "train", class_names=NAMES)


@pytest.fixture
def scenes(tmp_path):
    data = DataSettings(val_images=6, image_size_px=64)
    return SceneSegmentationSet(load_multi_scenes("val", data, tmp_path), "class")


def epoch(dataset, data=DATA, hflip_prob=0.5, **options):
    every: dict[str, Any] = {"batch_size": 4, "seed": 3, "epoch": 2} | options
    return list(segmentation_training_batches(dataset, data, OPTIONS, hflip_prob, **every))


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for batch, other in zip(a, b, strict=True):
        assert torch.equal(batch.pixels, other.pixels)
        assert torch.equal(batch.labels, other.labels)
        assert batch.indices == other.indices


# training


def test_batches_are_square_crops_with_labels(train):
    batches = epoch(train)
    assert len(batches) == segmentation_steps_per_epoch(train, 4) == 2
    shown = [index for batch in batches for index in batch.indices]
    assert len(set(shown)) == 8
    padded = 0
    for batch in batches:
        assert (batch.pixels.shape, batch.pixels.dtype) == ((4, 3, 64, 64), torch.float32)
        assert (batch.labels.shape, batch.labels.dtype) == ((4, 64, 64), torch.int64)
        assert set(batch.labels.unique().tolist()) <= {0, 1, 2, 3, 255}
        # where nothing was drawn, nothing is to be learnt
        empty = (batch.pixels == 0).all(dim=1)
        assert (batch.labels[empty] == 255).all()
        padded += int(empty.sum())
    assert padded > 0


def test_a_sample_is_its_image_augmented_by_its_position(train):
    (first, _) = epoch(train)
    for position, index in enumerate(first.indices):
        with sample_generators(3, 2, position):
            picture = augment(LabelledPicture(train.read(index), train.labels(index)), OPTIONS, 0.5)
        height, width = picture.size
        np.testing.assert_array_equal(
            denormalise_images(first.pixels[position : position + 1, :, :height, :width])[0], picture.pixels
        )
        np.testing.assert_array_equal(first.labels[position, :height, :width], picture.labels)
        assert (first.labels[position, height:] == 255).all()
        assert (first.labels[position, :, width:] == 255).all()
        assert first.pixels[position, :, height:].abs().sum() == first.pixels[position, :, :, width:].abs().sum() == 0


def test_batches_do_not_depend_on_workers(train):
    assert_same(epoch(train, workers=2), epoch(train))


def test_an_epoch_resumes_in_its_middle(train):
    whole = epoch(train, batch_size=2)
    assert len(whole) == 5
    assert_same(epoch(train, batch_size=2, start_step=3), whole[3:])
    assert_same(epoch(train, batch_size=2, start_step=2, workers=2), whole[2:])
    assert epoch(train, batch_size=2, start_step=5) == []


def test_epochs_and_seeds_differ(train):
    first = epoch(train)
    for other in (epoch(train, epoch=3), epoch(train, seed=4)):
        assert [batch.indices for batch in other] != [batch.indices for batch in first]


def test_every_image_comes_in_time(train):
    shown = {index for number in range(8) for batch in epoch(train, epoch=number) for index in batch.indices}
    assert shown == set(range(11))


def test_loading_leaves_the_global_generators_alone(train):
    def reset():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    def draw():
        return random.random(), np.random.random(), torch.rand(1).item()

    reset()
    expected = draw()
    reset()
    epoch(train)
    list(segmentation_evaluation_batches(train, OPTIONS, batch_size=4))
    assert draw() == expected


def test_a_batch_larger_than_the_data_set_is_refused(train):
    assert segmentation_steps_per_epoch(train, 11) == 1
    for refused in (lambda: segmentation_steps_per_epoch(train, 12), lambda: epoch(train, batch_size=12)):
        with pytest.raises(UsageError, match=r"optimiser\.batch_size=12 is larger than an epoch of 11 images"):
            refused()


def test_digits_are_never_mirrored(scenes):
    data = DataSettings(val_images=6, image_size_px=64)
    options: dict[str, Any] = {"batch_size": 3, "seed": 0, "epoch": 0}
    with pytest.raises(UsageError, match=r"augment\.hflip_prob=0\.5 is for photographs"):
        segmentation_training_batches(scenes, data, OPTIONS, 0.5, **options)
    assert len(epoch(scenes, data, 0.0, batch_size=3)) == 2


def test_scenes_can_be_trained_on_as_they_are(scenes):
    plain = SegmentationSettings(
        short_side_px=64, test_short_side_px=64, max_long_side_px=64, crop_px=64, min_resize_factor=1.0,
        max_resize_factor=1.0, max_class_share=1.0, photometric_distortion=False,
    )  # fmt: skip
    data = DataSettings(val_images=6, image_size_px=64)
    (batch,) = segmentation_training_batches(scenes, data, plain, 0.0, batch_size=6, seed=0, epoch=0)
    assert sorted(batch.indices) == list(range(6))
    assert torch.equal(batch.pixels, normalise_images(scenes.scenes.images[batch.indices]))
    for index, labels in zip(batch.indices, batch.labels, strict=True):
        np.testing.assert_array_equal(labels, scenes.scenes.semantic_map(index))


# evaluation


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (4, 0), (50, 0), (4, 2)])
def test_evaluation_shows_each_image_once_as_if_it_were_alone(train, batch_size, workers):
    alone = {
        batch.indices[0]: batch.pixels[0] for batch in segmentation_evaluation_batches(train, OPTIONS, batch_size=1)
    }
    seen, areas = [], []
    for batch in segmentation_evaluation_batches(train, OPTIONS, batch_size=batch_size, workers=workers):
        assert batch.pixels.shape[2] % 32 == batch.pixels.shape[3] % 32 == 0
        assert len(batch.indices) == len(batch.labels) == len(batch.pixels) <= batch_size
        areas.append(batch.pixels.shape[2] * batch.pixels.shape[3])
        for index, pixels, labels, size in zip(
            batch.indices, batch.pixels, batch.labels, batch.original_sizes, strict=True
        ):
            seen.append(index)
            assert torch.equal(pixels, alone[index])
            assert labels.dtype == np.uint8
            np.testing.assert_array_equal(labels, train.labels(index))
            assert size == train.size(index)
    assert sorted(seen) == list(range(11))
    assert areas == sorted(areas, reverse=True)
    assert len(set(areas)) > 1


def test_evaluated_pixels_are_the_normalised_image(scenes):
    options = OPTIONS.model_copy(update={"test_short_side_px": 64})
    (batch,) = segmentation_evaluation_batches(scenes, options, batch_size=6)
    assert batch.indices == list(range(6))
    assert torch.equal(batch.pixels, normalise_images(scenes.scenes.images))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("which", ["path", "label_path"])
def test_a_broken_file_stops_the_work_with_its_path(train, workers, which):
    broken = getattr(train, which)(7)
    broken.write_bytes(broken.read_bytes()[:-40])
    for batches in (
        segmentation_training_batches(train, DATA, OPTIONS, 0.5, batch_size=11, seed=0, epoch=0, workers=workers),
        segmentation_evaluation_batches(train, OPTIONS, batch_size=4, workers=workers),
    ):
        with pytest.raises(DataError) as caught:
            list(batches)
        assert str(broken) in str(caught.value)
        assert "\n" not in str(caught.value)
