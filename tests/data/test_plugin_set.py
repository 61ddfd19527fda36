"""Data sets of other packages: read as image folders are, and held to what they promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_bench.data.loading import build_dataset, check_augment, evaluation_batches, training_batches
from dit_bench.data.plugin_set import PluginSet, dataset_plugin, plugin_classes
from dit_bench.data.transforms import denormalise_images
from dit_bench.errors import UsageError
from dit_bench.plugins import PluginError
from dit_bench.recipes.settings import AugmentSettings, DataSettings

MakePackage = Callable[..., str]
SIZES: Any = {"train_images": 12, "tune_images": 3, "val_images": 5, "image_size_px": 32}
SET = """
import numpy as np

class Set:
    class_names = ("a", "b")
    labels = [0, 1, 0]

    def __init__(self, split, settings):
        pass

    def __len__(self):
        return 3

    def read(self, index):
        return np.full((40, 48, 3), 10 * index, np.uint8)

    def manifest_sha256(self):
        return "0" * 64
"""


def test_splits_are_read_and_cropped_as_image_folders_are(example_package: Path) -> None:
    settings = DataSettings(dataset="stripes", eval_crop_fraction=1.0, **SIZES)
    images = build_dataset(settings, "val")
    assert (len(images), images.num_classes, images.class_names) == (5, 2, ("down", "across"))
    assert images.labels.dtype == np.int64
    assert images.manifest_sha256() != build_dataset(settings, "train").manifest_sha256()
    ((numbers, pixels, labels),) = evaluation_batches(images, settings, batch_size=8)
    assert (numbers.tolist(), labels.tolist()) == ([0, 1, 2, 3, 4], [0, 1, 0, 1, 0])
    # At its own size and without a crop, the network sees the picture itself.
    assert np.abs(denormalise_images(pixels).astype(int)[1] - images.read(1)).max() <= 1
    first, *_ = training_batches(
        build_dataset(settings, "train"), settings, AugmentSettings(hflip_prob=0.5), batch_size=4, seed=0, epoch=0
    )
    assert tuple(first[0].shape) == (4, 3, 32, 32)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_while_reading_is_the_packages(make_package: MakePackage, workers: int) -> None:
    text = SET.replace("return np.full", "raise OSError('gone')\n        return np.full")
    make_package("gone", text, datasets={"gone": "Set"})
    settings = DataSettings(dataset="gone", **SIZES)
    images = build_dataset(settings, "val")
    with pytest.raises(PluginError, match=r"data set 'gone' of gone 1\.2\.3 \(dit_bench\.datasets: gone:Set\): OSErr"):
        list(evaluation_batches(images, settings, batch_size=8, workers=workers))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("    labels = [0, 1, 0]", "", "its val split has no labels"),
        ("labels = [0, 1, 0]", "labels = [0, 1]", r"are int64 \(2,\), not one integer for each of 3 images"),
        ("labels = [0, 1, 0]", "labels = [0.0, 1.0, 0.0]", r"are float64 \(3,\), not one integer for each of 3"),
        ("labels = [0, 1, 0]", "labels = [0, 1, 2]", "are 0 … 2, but it names 2 classes"),
        ('"0" * 64', '"0"', r"manifest_sha256\(\) of its val split is '0', not 64 digits"),
        ("pass", "raise ValueError('which split?')", r"ValueError: which split\?"),
    ],
)
def test_a_set_that_is_not_as_described_is_refused(make_package: MakePackage, old: str, new: str, reason: str) -> None:
    assert old in SET
    make_package("wrong", SET.replace(old, new), datasets={"wrong": "Set"})
    with pytest.raises(PluginError, match=rf"^data set 'wrong' of wrong 1\.2\.3 .*{reason}"):
        build_dataset(DataSettings(dataset="wrong"), "val")


def test_images_must_be_rgb(make_package: MakePackage) -> None:
    make_package("grey", SET.replace("(40, 48, 3)", "(40, 48)"), datasets={"grey": "Set"})
    images = build_dataset(DataSettings(dataset="grey"), "val")
    with pytest.raises(PluginError, match=r"read\(2\) gave uint8 \(40, 48\), not uint8 \(H, W, 3\)"):
        images.read(2)


def test_classes_are_known_without_reading_where_they_are_stated(
    example_package: Path, make_package: MakePackage
) -> None:
    make_package("silent", SET, datasets={"silent": "Set"})
    for name in ("stripes", "silent"):
        plugin = dataset_plugin(name)
        assert plugin is not None
        assert plugin_classes(plugin, DataSettings(dataset=name)) == 2
    assert isinstance(build_dataset(DataSettings(dataset="silent"), "train"), PluginSet)


def test_a_name_of_ours_is_refused(make_package: MakePackage) -> None:
    make_package("rival", SET, datasets={"digit_scenes": "Set"})
    with pytest.raises(UsageError, match=r"data set 'digit_scenes' has several origins: dit-bench and rival 1\.2\.3"):
        build_dataset(DataSettings(), "val")


def test_augmentation_is_that_of_image_folders(example_package: Path) -> None:
    settings = DataSettings(dataset="stripes")
    check_augment(settings, AugmentSettings(random_resized_crop=True))
    with pytest.raises(UsageError, match=r"augment\.shift_px=4 is for digit scenes, but data\.dataset is stripes"):
        check_augment(settings, AugmentSettings(shift_px=4))
