"""Which class of a classifier a folder is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dit_bench.data.class_map import match_classes
from dit_bench.data.imagenet import ImageFolderSet
from dit_bench.data.synsets import imagenet_synsets
from dit_bench.errors import WeightsError


def folder_set(root: Path, *names: str) -> ImageFolderSet:
    for name in names:
        (root / "val" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / "val" / name / "a.png")
    return ImageFolderSet(root, "val")


def test_synsets_get_imagenets_numbers(synset_folder: Path, imagenet_labels: dict[str, int]) -> None:
    folder = ImageFolderSet(synset_folder, "val")
    classes = match_classes(folder, 1000, "w.pth")
    assert classes.by_synset
    assert classes.is_partial
    assert classes.num_classes == 1000
    seen = classes.relabelled(folder)
    assert seen.num_classes == 1000
    assert seen.class_names == imagenet_synsets()
    assert seen.labels.dtype == np.int64
    assert seen.labels.tolist() == [imagenet_labels[file.split("/")[1]] for file in folder.files]
    assert np.array_equal(seen.read(4), folder.read(4))
    assert len(seen) == len(folder) == 30
    assert seen.manifest_sha256() == folder.manifest_sha256()


def test_a_head_of_the_folders_own_classes_is_numbered_by_sorted_name(synset_folder: Path) -> None:
    folder = ImageFolderSet(synset_folder, "val")
    classes = match_classes(folder, 10, "w.pth")
    assert (classes.by_synset, classes.is_partial, classes.labels) == (False, False, tuple(range(10)))
    assert classes.relabelled(folder) is folder


def test_a_thousand_classes_that_are_not_imagenets_keep_their_order(tmp_path: Path) -> None:
    folder = folder_set(tmp_path, *(f"class{k:04d}" for k in range(1000)))
    classes = match_classes(folder, 1000, "w.pth")
    assert not classes.by_synset
    assert classes.labels == tuple(range(1000))


def test_weights_without_a_classifier_are_left_to_the_loading(tmp_path: Path) -> None:
    assert match_classes(folder_set(tmp_path, "a", "b"), None, "w.pth").num_classes == 2


@pytest.mark.parametrize("head_classes", [2, 11, 21841])
def test_another_number_of_classes_is_refused_with_both_numbers(synset_folder: Path, head_classes: int) -> None:
    with pytest.raises(WeightsError, match=rf"w\.pth classifies into {head_classes} classes, the data set has 10") as e:
        match_classes(ImageFolderSet(synset_folder, "val"), head_classes, "w.pth")
    assert e.value.remedy


def test_foreign_folders_are_named(tmp_path: Path) -> None:
    folder = folder_set(tmp_path, "n01440764", "cat", "dog", "emu", "fox")
    with pytest.raises(WeightsError, match=r"1000 classes, the data set has 5, .* \(cat, dog, emu, …\)") as caught:
        match_classes(folder, 1000, "w.pth")
    assert caught.value.remedy is not None
    assert "n01440764" in caught.value.remedy
