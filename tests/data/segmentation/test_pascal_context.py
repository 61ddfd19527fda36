import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.io import savemat

from dit_bench.data.segmentation.label_values import ZeroLabel
from dit_bench.data.segmentation.pascal_context import PascalContextSet
from dit_bench.data.segmentation.pascal_context_classes import PASCAL_CONTEXT_CLASS_NAMES
from dit_bench.errors import DataError

TRAIN = {"2008_000002": (30, 41), "2008_000008": (24, 18), "2010_000015": (20, 33), "2010_000016": (16, 16)}
VAL = {"2008_000003": (25, 20), "2010_000009": (21, 27)}
SPLITS = {"train": TRAIN, "val": VAL}
# ids of the release, and where their names stand in mmsegmentation's list of 60
NUMBERS = {0: 0, 1: 0, 2: 1, 31: 8, 284: 37, 420: 53, 431: 0, 458: 59}
EXPECTED = r"expected ROOT/VOC2010/JPEGImages.*nothing is downloaded here"


def ids_of(name: str) -> np.ndarray:
    """Blocks of the ids above, int (h, w)."""
    size = {**TRAIN, **VAL}[name]
    blocks = np.random.default_rng(int(name[-2:])).choice(list(NUMBERS), (4, 5))
    return np.kron(blocks, np.ones((8, 9), int))[: size[0], : size[1]]


def numbers_of(name: str) -> np.ndarray:
    return np.vectorize(NUMBERS.get)(ids_of(name)).astype(np.uint8)


def write_voc(root: Path, lists: str | None) -> Path:
    """Pictures, one that belongs to no split, and lists of the splits in a folder of `ImageSets`."""
    voc = root / "VOCdevkit" / "VOC2010"
    (voc / "JPEGImages").mkdir(parents=True)
    for name, size in {**TRAIN, **VAL, "2009_000001": (9, 9)}.items():
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(voc / "JPEGImages" / f"{name}.jpg")
    if lists is not None:
        (voc / "ImageSets" / lists).mkdir(parents=True)
        for split, names in SPLITS.items():
            (voc / "ImageSets" / lists / f"{split}.txt").write_text("\n".join(reversed(names)) + "\n")
    return voc


def write_json(path: Path) -> None:
    images, masks = [], []
    for split, names in SPLITS.items():
        for name, (height, width) in names.items():
            key = int(name.replace("_", ""))
            images.append({"image_id": key, "file_name": f"{name}.jpg", "phase": split})
            images[-1] |= {"height": height, "width": width}
            for number in np.unique(ids_of(name)):
                runs: Any = coco_mask.encode(np.asfortranarray((ids_of(name) == number).astype(np.uint8)))
                segmentation = {"size": [height, width], "counts": runs["counts"].decode()}
                masks.append({"image_id": key, "category_id": int(number), "segmentation": segmentation})
    path.write_text(json.dumps({"images": images, "annos_segmentation": masks}))


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    """What mmsegmentation's converter leaves, with the file that it read."""
    voc = write_voc(tmp_path / "converted", "SegmentationContext")
    (voc / "SegmentationClassContext").mkdir()
    for name in (*TRAIN, *VAL):
        Image.fromarray(numbers_of(name)).save(voc / "SegmentationClassContext" / f"{name}.png")
    write_json(voc / "trainval_merged.json")
    return voc.parent.parent


@pytest.fixture
def detail(tmp_path: Path) -> Path:
    voc = write_voc(tmp_path / "detail", None)
    write_json(voc / "trainval_merged.json")
    return voc.parent.parent


@pytest.fixture
def original(tmp_path: Path) -> Path:
    voc = write_voc(tmp_path / "original", "Main")
    folder = voc.parent.parent / "trainval"
    folder.mkdir()
    for name in (*TRAIN, *VAL):
        savemat(folder / f"{name}.mat", {"LabelMap": ids_of(name).astype(np.uint16)}, do_compression=True)
    return voc.parent.parent


FORMS = ("converted", "detail", "original")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("zero_label", ["ignore", "class"])
def test_every_form_gives_the_same_labels_moved_once(request, form, zero_label: ZeroLabel):
    root = request.getfixturevalue(form)
    for split, names in SPLITS.items():
        found = PascalContextSet(root, "val" if split == "val" else "train", zero_label=zero_label)
        found = pickle.loads(pickle.dumps(found))
        assert [found.name(k) for k in range(len(found))] == sorted(names)
        assert [found.size(k) for k in range(len(found))] == [names[name] for name in sorted(names)]
        for k in range(len(found)):
            numbers, labels = numbers_of(found.name(k)).astype(int), found.labels(k)
            assert found.read(k).shape == (*labels.shape, 3)
            expected = numbers if zero_label == "class" else np.where(numbers == 0, 255, numbers - 1)
            assert labels.dtype == np.uint8
            np.testing.assert_array_equal(labels, expected)


def test_there_are_59_classes_or_60(converted):
    assert PascalContextSet(converted, "val").class_names == PASCAL_CONTEXT_CLASS_NAMES
    with_background = PascalContextSet(converted, "val", zero_label="class")
    assert with_background.class_names == ("background", *PASCAL_CONTEXT_CLASS_NAMES)
    assert with_background.num_classes == 60


@pytest.mark.parametrize("form", FORMS)
def test_any_folder_above_will_do(request, form):
    root = request.getfixturevalue(form)
    first = PascalContextSet(root, "val").manifest_sha256()
    if form == "original":
        (root / "trainval").rename(root / "VOCdevkit" / "VOC2010" / "trainval")
        first = PascalContextSet(root, "val").manifest_sha256()
    for folder in (root / "VOCdevkit", root / "VOCdevkit" / "VOC2010"):
        assert PascalContextSet(folder, "val").manifest_sha256() == first
    assert PascalContextSet(root, "train").manifest_sha256() != first


def test_identity_knows_the_labels(original, detail):
    before = PascalContextSet(original, "val").manifest_sha256()
    savemat(original / "trainval" / "2010_000009.mat", {"LabelMap": ids_of("2010_000009")})
    assert PascalContextSet(original, "val").manifest_sha256() != before
    path = detail / "VOCdevkit" / "VOC2010" / "trainval_merged.json"
    before = PascalContextSet(detail, "val").manifest_sha256()
    path.write_text(path.read_text().replace('"category_id": 284', '"category_id": 285'))
    assert PascalContextSet(detail, "val").manifest_sha256() != before


def test_what_is_left_out_is_counted(converted, detail, original):
    voc = converted / "VOCdevkit" / "VOC2010"
    (voc / "JPEGImages" / "notes.txt").write_text("")
    Image.new("L", (9, 9)).save(voc / "SegmentationClassContext" / "2009_000001.png")
    summary = str(PascalContextSet(converted, "val").summary)
    assert summary == "2 images; left out: 2 files in no list, 1 other files"
    for root in (detail, original):
        assert str(PascalContextSet(root, "val").summary) == "2 images; left out: 1 files in no list"


@pytest.mark.parametrize("form", FORMS)
def test_tuning_images_are_taken_from_training(request, form):
    root = request.getfixturevalue(form)
    tune, train = (PascalContextSet(root, split, tune_images=2) for split in ("tune", "train"))
    assert [tune.name(k) for k in range(2)] == ["2008_000002", "2010_000015"]
    assert [train.name(k) for k in range(len(train))] == ["2008_000008", "2010_000016"]
    assert train.summary.images_of_another_split == 2
    with pytest.raises(DataError, match=r"holds 4 images, too few to set data\.tune_images=4 aside"):
        PascalContextSet(root, "tune", tune_images=4)


def test_own_lists_count_before_vocs_and_the_phases(original, detail):
    for root in (original, detail):
        folder = root / "VOCdevkit" / "VOC2010" / "ImageSets" / "SegmentationContext"
        folder.mkdir(parents=True)
        (folder / "train.txt").write_text("2008_000002\n")
        (folder / "val.txt").write_text("2008_000008\n")
        val = PascalContextSet(root, "val")
        assert [val.name(k) for k in range(len(val))] == ["2008_000008"]
        assert len(PascalContextSet(root, "train")) == 1


# what a user can get wrong


def refusal(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        PascalContextSet(root, "val", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_folders_are_explained(tmp_path, converted):
    assert "does not exist — expected ROOT/VOC2010" in refusal(tmp_path / "nowhere")
    (tmp_path / "VOC2012").mkdir()
    assert f"{tmp_path} holds no VOC2010 with JPEGImages — expected ROOT" in refusal(tmp_path)
    voc = converted / "VOCdevkit" / "VOC2010"
    shutil.rmtree(voc / "SegmentationClassContext")
    (voc / "trainval_merged.json").unlink()
    message = refusal(converted)
    assert f"{converted} holds no labels of Pascal Context — expected" in message
    assert "cs.stanford.edu" in message
    (voc / "SegmentationClassContext").mkdir()
    assert f"{voc / 'SegmentationClassContext'} holds no .png file" in refusal(converted)


def test_forms_are_not_mixed(converted, detail, original):
    for root in (converted, detail):
        shutil.copytree(original / "trainval", root / "trainval")
        message = refusal(root)
        assert "labels in forms that do not belong together: " in message
        assert str(root / "trainval") in message
    shutil.copytree(original / "trainval", original / "VOCdevkit" / "trainval")
    assert f"holds both {original / 'VOCdevkit' / 'trainval'} and {original / 'trainval'}" in refusal(original)


def test_two_copies_are_refused(converted):
    shutil.copytree(converted / "VOCdevkit" / "VOC2010", converted / "VOC2010")
    message = refusal(converted)
    assert f"holds both {converted / 'VOC2010'} and {converted / 'VOCdevkit' / 'VOC2010'}" in message


def test_lists_are_needed(converted, original):
    sets = converted / "VOCdevkit" / "VOC2010" / "ImageSets" / "SegmentationContext"
    (sets / "val.txt").unlink()
    assert f"{sets / 'val.txt'} does not exist, though {sets / 'train.txt'} does" in refusal(converted)
    sets.rename(sets.parent / "Main")
    message = refusal(converted)
    assert f"{sets / 'val.txt'} does not exist, so nothing says which pictures are for what" in message
    sets = original / "VOCdevkit" / "VOC2010" / "ImageSets"
    shutil.rmtree(sets)
    message = refusal(original)
    assert f"{sets / 'SegmentationContext' / 'val.txt'} or {sets / 'Main' / 'val.txt'} does not exist" in message


def test_training_pictures_are_not_tested_on(converted):
    path = converted / "VOCdevkit" / "VOC2010" / "ImageSets" / "SegmentationContext" / "val.txt"
    path.write_text("2008_000003\n2008_000002\n")
    assert "share 1 pictures (first: 2008_000002)" in refusal(converted)


def test_what_a_list_names_must_be_there(converted, detail, original):
    voc = converted / "VOCdevkit" / "VOC2010"
    (voc / "SegmentationClassContext" / "2010_000009.png").unlink()
    message = refusal(converted)
    assert "val.txt names 2010_000009, which has no label map in" in message
    assert f"{voc / 'SegmentationClassContext'} (1 of 2 names have none)" in message
    (voc / "JPEGImages" / "2008_000003.jpg").unlink()
    assert f"val.txt names 2008_000003, which has no picture in {voc / 'JPEGImages'} (1 of 2" in refusal(converted)
    (original / "trainval" / "2010_000009.mat").unlink()
    assert f"names 2010_000009, which has no label map in {original / 'trainval'}" in refusal(original)
    voc = detail / "VOCdevkit" / "VOC2010"
    (voc / "JPEGImages" / "2008_000003.jpg").unlink()
    assert "trainval_merged.json names 2008_000003, which has no picture" in refusal(detail)


@pytest.mark.parametrize("form", FORMS)
def test_labels_of_another_size_are_found_at_the_start(request, form):
    root = request.getfixturevalue(form)
    Image.new("RGB", (21, 27)).save(root / "VOCdevkit" / "VOC2010" / "JPEGImages" / "2010_000009.jpg")
    message = refusal(root)
    assert "is 27x21 pixels, its image 2010_000009.jpg 21x27" in message
    assert {"converted": "2010_000009.png", "detail": "merged.json", "original": "2010_000009.mat"}[form] in message


def test_unsound_label_images_are_named(converted):
    path = converted / "VOCdevkit" / "VOC2010" / "SegmentationClassContext" / "2010_000009.png"
    for value in (60, 255):
        values = numbers_of("2010_000009")
        values[:2, :3] = value
        Image.fromarray(values).save(path)
        with pytest.raises(DataError) as caught:
            PascalContextSet(converted, "val").labels(1)
        assert f"{path}: 6 pixels have the value {value}; 59 classes allow 0 … 59 — Segm" in str(caught.value)
    values[:2, :3] = 59
    Image.fromarray(values).save(path)
    with_background = PascalContextSet(converted, "val", zero_label="class")
    assert (with_background.labels(1)[:2, :3] == 59).all()
    Image.new("RGB", (27, 21)).save(path)
    assert f"{path} holds colours (RGB)" in refusal(converted)


def test_unsound_label_maps_are_named(original):
    path = original / "trainval" / "2010_000009.mat"
    whole = path.read_bytes()
    val = PascalContextSet(original, "val")
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"cannot read label map .*2010_000009\.mat"):
        val.labels(1)
    assert f"label map {path} is cut short" in refusal(original)
    ids = ids_of("2010_000009")
    ids[:2, :3] = 460
    savemat(path, {"LabelMap": ids})
    with pytest.raises(DataError, match=r"2010_000009\.mat has the id 460 in 6 places; .*has the ids 1 … 459"):
        val.labels(1)
    savemat(path, {"LabelMap": ids_of("2010_000009")[:-1]})
    with pytest.raises(DataError, match=r"2010_000009\.mat is 27x20 pixels, and was 27x21 when"):
        val.labels(1)
    savemat(path, {"S": ids_of("2010_000009")})
    assert "has no variable 'LabelMap', it has S" in refusal(original)
