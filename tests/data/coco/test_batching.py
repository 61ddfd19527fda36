import random
from typing import Any

import numpy as np
import pytest
import torch

from dit_bench.data.coco.batching import (
    DetectionSample,
    collate_samples,
    detection_evaluation_batches,
    detection_training_batches,
)
from dit_bench.data.coco.coco_set import CocoSet
from dit_bench.data.coco.grouping import detection_steps_per_epoch
from dit_bench.data.coco.scene_detection_set import SceneDetectionSet
from dit_bench.data.scenes.multi_scene_set import load_multi_scenes
from dit_bench.data.transforms import denormalise_images, normalise_images
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.dense_settings import DetectionSettings
from dit_bench.recipes.settings import DataSettings

# with fewer cores than workers, as on a shared machine, the result is the same
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")

DATA = DataSettings(dataset="coco")
DETECTION = DetectionSettings(
    short_sides_px=[48, 64, 80], max_long_side_px=200, test_short_side_px=64, random_crop=True
)


@pytest.fixture
def train(many):
    return CocoSet(many, "train", training=True)


def epoch(dataset, data=DATA, hflip_prob=0.5, **options):
    options = {"masks": True, "batch_size": 4, "seed": 3, "epoch": 2} | options
    return list(detection_training_batches(dataset, data, DETECTION, hflip_prob, **options))


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for batch, other in zip(a, b, strict=True):
        assert torch.equal(batch.pixels, other.pixels)
        for name in ("sizes", "indices", "image_ids", "original_sizes"):
            assert getattr(batch, name) == getattr(other, name)
        for name in ("boxes", "labels", "masks"):
            for x, y in zip(getattr(batch, name), getattr(other, name), strict=True):
                assert x.dtype == y.dtype
                assert torch.equal(x, y)


def sample(index, height, width, objects=0, masks=True):
    return DetectionSample(
        index=index,
        image_id=100 + index,
        pixels=torch.randn(3, height, width),
        original_size=(2 * height, 2 * width),
        boxes=torch.rand(objects, 4),
        labels=torch.arange(objects),
        masks=torch.rand(objects, height, width) > 0.5 if masks else None,
    )


def test_images_are_padded_with_zeros_to_the_largest_and_to_32():
    torch.manual_seed(0)
    samples = [sample(0, 40, 70, 2), sample(1, 33, 90), sample(2, 64, 10, 1)]
    batch = collate_samples(samples)
    assert batch.pixels.shape == (3, 3, 64, 96)
    assert batch.sizes == [(40, 70), (33, 90), (64, 10)]
    assert batch.image_ids == [100, 101, 102]
    for padded, one in zip(batch.pixels, samples, strict=True):
        height, width = one.size
        assert torch.equal(padded[:, :height, :width], one.pixels)
        assert padded[:, height:].abs().sum() == padded[:, :, width:].abs().sum() == 0
    assert collate_samples([sample(0, 40, 70, 2, masks=False)]).masks is None


# training


def test_batches_fit_together(train):
    batches = epoch(train)
    assert len(batches) == detection_steps_per_epoch(train, 4) == 6
    assert {index for batch in batches for index in batch.indices} == set(range(19))
    for batch in batches:
        assert batch.pixels.shape[2] % 32 == batch.pixels.shape[3] % 32 == 0
        assert batch.masks is not None
        lists = (batch.sizes, batch.indices, batch.image_ids, batch.boxes, batch.labels, batch.masks)
        for (height, width), index, image_id, boxes, labels, masks in zip(*lists, strict=True):
            assert image_id == train.image_id(index)
            assert masks.shape == (len(labels), height, width)
            assert (boxes.dtype, labels.dtype, masks.dtype) == (torch.float32, torch.int64, torch.bool)
            assert min(height, width) in DETECTION.short_sides_px
            assert (boxes[:, :2] >= 0).all()
            assert (boxes[:, 2:] <= torch.tensor([width, height])).all()
            assert (boxes[:, 2:] > boxes[:, :2]).all()
            for (x1, y1, x2, y2), mask in zip(boxes.tolist(), masks, strict=True):
                rows, columns = np.nonzero(mask.numpy())
                tight = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                assert np.abs(np.subtract((x1, y1, x2, y2), tight)).max() <= 2


def test_batches_do_not_depend_on_workers(train):
    assert_same(epoch(train, workers=2), epoch(train))


@pytest.mark.parametrize("start", [1, 4])
def test_an_epoch_resumes_in_its_middle(train, start):
    whole = epoch(train)
    assert_same(epoch(train, start_step=start), whole[start:])
    assert_same(epoch(train, start_step=start, workers=2), whole[start:])
    assert epoch(train, start_step=6) == []


def test_epochs_and_seeds_differ(train):
    first = epoch(train)
    for other in (epoch(train, epoch=3), epoch(train, seed=4)):
        assert [batch.indices for batch in other] != [batch.indices for batch in first]


def test_an_image_that_fills_a_batch_is_augmented_anew(train):
    """19 images in batches of 6: the wide ones come in three batches, so five of them come twice."""
    seen = {}
    for batch in epoch(train, batch_size=6):
        for index, size, pixels in zip(batch.indices, batch.sizes, batch.pixels, strict=True):
            seen.setdefault(index, []).append(pixels[:, : size[0], : size[1]])
    twice = [pair for pair in seen.values() if len(pair) == 2]
    assert len(twice) == 5
    assert any(pair[0].shape != pair[1].shape or not torch.equal(*pair) for pair in twice)


def test_masks_are_drawn_only_when_asked_for(train, monkeypatch):
    monkeypatch.setattr("dit_bench.data.coco.segmentations.SegmentationTable.draw", None)
    assert epoch(train, masks=False)[0].masks is None


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
    list(detection_evaluation_batches(train, DETECTION, batch_size=4))
    assert draw() == expected


def test_digits_are_never_mirrored(tmp_path):
    data = DataSettings(val_images=6, image_size_px=32)
    scenes = SceneDetectionSet(load_multi_scenes("val", data, tmp_path))
    with pytest.raises(UsageError, match=r"augment\.hflip_prob=0\.5 is for photographs"):
        epoch(scenes, data)
    assert len(epoch(scenes, data, 0.0)) == 2


def test_missing_masks_stop_before_the_epoch(train, monkeypatch):
    def check():
        raise DataError("objects have no mask")

    monkeypatch.setattr(train, "check_masks", check)
    options: dict[str, Any] = {"batch_size": 4, "seed": 0, "epoch": 0}
    with pytest.raises(DataError, match="no mask"):
        detection_training_batches(train, DATA, DETECTION, 0.5, masks=True, **options)
    detection_training_batches(train, DATA, DETECTION, 0.5, masks=False, **options)
    options["batch_size"] = 20
    with pytest.raises(UsageError, match=r"batch_size=20"):
        detection_training_batches(train, DATA, DETECTION, 0.5, masks=False, **options)


# evaluation


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (4, 0), (50, 0), (4, 2)])
def test_evaluation_shows_each_image_once_as_if_it_were_alone(train, batch_size, workers):
    seen = {}
    for batch in detection_evaluation_batches(train, DETECTION, masks=True, batch_size=batch_size, workers=workers):
        assert batch.masks is not None
        lists = (batch.indices, batch.pixels, batch.sizes, batch.original_sizes, batch.boxes, batch.masks)
        for index, pixels, size, original, boxes, masks in zip(*lists, strict=True):
            seen[index] = seen.get(index, 0) + 1
            assert pixels.shape[1:] == tuple(-(-side // 32) * 32 for side in size)
            assert original == train.size(index)
            assert masks.shape[1:] == size
            scale = torch.tensor([size[1] / original[1], size[0] / original[0]] * 2)
            torch.testing.assert_close(boxes, torch.from_numpy(train.objects(index).boxes).float() * scale)
    assert seen == dict.fromkeys(range(19), 1)


def test_evaluated_pixels_are_the_normalised_image(tmp_path):
    data = DataSettings(val_images=3, image_size_px=64)
    scenes = SceneDetectionSet(load_multi_scenes("val", data, tmp_path))
    (batch,) = detection_evaluation_batches(scenes, DETECTION, batch_size=3)
    assert torch.equal(batch.pixels, normalise_images(scenes.scenes.images))
    np.testing.assert_array_equal(denormalise_images(batch.pixels), scenes.scenes.images)
    assert batch.masks is None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_stops_the_work_with_its_path(train, workers):
    broken = train.path(7)
    broken.write_bytes(broken.read_bytes()[:700])
    for batches in (
        detection_training_batches(
            train, DATA, DETECTION, 0.5, masks=False, batch_size=4, seed=0, epoch=0, workers=workers
        ),
        detection_evaluation_batches(train, DETECTION, batch_size=4, workers=workers),
    ):
        with pytest.raises(DataError) as caught:
            list(batches)
        assert str(broken) in str(caught.value)
        assert "\n" not in str(caught.value)
