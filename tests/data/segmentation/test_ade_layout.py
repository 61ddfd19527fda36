import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.ade_layout import find_root, list_split
from dit_bench.errors import DataError

EXPECTED = re.compile(r"expected ROOT/images/\{training,validation\}/\*\.jpg and .*sceneparsing\.csail\.mit\.edu")


def refusal(root: Path, split: Split = "val") -> str:
    with pytest.raises(DataError) as caught:
        list_split(find_root(root), split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pairs_are_sorted_and_odd_files_counted(small):
    images, labels = small / "images" / "validation", small / "annotations" / "validation"
    (images / "notes.txt").write_text("")
    (labels / "palette.json").write_text("")
    (labels / ".DS_Store").write_text("")
    (images / "ADE_val_00000001.jpg").rename(images / "ADE_val_00000001.JPEG")
    found = list_split(find_root(small), "val")
    assert [(pair.image, pair.labels) for pair in found.pairs] == [
        ("ADE_val_00000001.JPEG", "ADE_val_00000001.png"),
        ("ADE_val_00000002.jpg", "ADE_val_00000002.png"),
        ("ADE_val_00000003.jpg", "ADE_val_00000003.png"),
    ]
    assert (found.images, found.labels) == (images, labels)
    assert found.other_files == 2
    assert len(list_split(small, "train").pairs) == len(list_split(small, "tune").pairs) == 11


@pytest.mark.parametrize("absent", ["", "images", "annotations", "images/validation", "annotations/validation"])
def test_missing_folders_are_explained(small, absent):
    path = small / absent
    path.rename(small.parent / "elsewhere")
    missing = path / "validation" if absent in ("images", "annotations") else path
    message = refusal(small)
    assert f"{missing} does not exist" in message
    assert EXPECTED.search(message)


def test_a_folder_of_something_else_is_explained(tmp_path):
    (tmp_path / "train2017").mkdir()
    message = refusal(tmp_path)
    assert f"{tmp_path} holds neither images nor annotations" in message
    assert EXPECTED.search(message)


def test_two_data_sets_in_one_folder_are_refused(small):
    shutil.copytree(small, small / small.name)
    message = refusal(small)
    assert f"{small} holds a data set itself and another one in ADEChallengeData2016" in message
    assert f"data.root={small / small.name}" in message


@pytest.mark.parametrize(
    "file",
    [
        "images/training/a/abbey/ADE_train_00000970_seg.png",
        "images/training/a/abbey/ADE_train_00000970_atr.txt",
        "images/ADE/training/cultural/abbey/ADE_train_00000970.json",
        "index_ade20k.mat",
        "ADE20K_2021_17_01/index_ade20k.pkl",
        "images/validation/ADE_val_00000001_seg.png",
        "annotations/validation/ADE_val_00000001_seg.png",
        "images/validation/ADE_val_00000001.json",
    ],
)
def test_the_full_release_is_recognised(small, file):
    (small / file).parent.mkdir(parents=True, exist_ok=True)
    (small / file).write_bytes(b"")
    message = refusal(small)
    assert "is the full ADE20K" in message
    assert EXPECTED.search(message)


def test_the_full_release_is_recognised_without_its_index(tmp_path):
    folder = tmp_path / "images" / "training" / "a" / "abbey"
    folder.mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "ADE_train_00000970.jpg")
    Image.new("RGB", (9, 9)).save(folder / "ADE_train_00000970_seg.png")
    assert "is the full ADE20K" in refusal(tmp_path, "train")


@pytest.mark.parametrize("part", ["images", "annotations"])
def test_deeper_folders_are_refused(small, part):
    (small / part / "validation" / "abbey").mkdir()
    assert f"{small / part / 'validation'} holds folders (first: abbey) where files are expected" in refusal(small)


@pytest.mark.parametrize("part", ["images", "annotations"])
def test_empty_folders_are_refused(small, part):
    folder = small / part / "validation"
    shutil.rmtree(folder)
    folder.mkdir()
    message = refusal(small)
    assert f"{folder} holds no " in message
    assert EXPECTED.search(message)


def test_an_image_without_labels_is_named(small):
    labels = small / "annotations" / "validation"
    for name in ("ADE_val_00000002.png", "ADE_val_00000003.png"):
        (labels / name).unlink()
    message = refusal(small)
    assert f"ADE_val_00000002.jpg has no label image {labels / 'ADE_val_00000002.png'} (2 of 3 images" in message


def test_labels_without_an_image_are_named(small):
    (small / "images" / "validation" / "ADE_val_00000002.jpg").unlink()
    message = refusal(small)
    assert f"ADE_val_00000002.png has no image in {small / 'images' / 'validation'} (1 of 3" in message


def test_two_images_of_one_name_are_refused(small):
    Image.new("RGB", (30, 50)).save(small / "images" / "validation" / "ADE_val_00000002.png")
    assert "holds both ADE_val_00000002.jpg and ADE_val_00000002.png" in refusal(small)


def test_labels_as_jpeg_are_refused(small):
    Image.new("L", (30, 50)).save(small / "annotations" / "validation" / "ADE_val_00000002.jpg")
    assert "ADE_val_00000002.jpg is no .png file — label images are PNGs" in refusal(small)
