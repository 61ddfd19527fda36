import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dit_bench.data.segmentation.coco_stuff import CocoStuffSet
from dit_bench.data.segmentation.coco_stuff_classes import COCO_STUFF_CLASS_NAMES
from dit_bench.errors import DataError

TRAIN = {9: (30, 41), 25: (24, 18), 30: (20, 33), 34: (16, 16)}
TEST = {77: (25, 20), 109: (21, 27)}
PARTS = {"train": TRAIN, "test": TEST}
# ids of version 1.1, and what mmsegmentation's converter makes of them
NUMBERS = {0: 0, 1: 1, 13: 12, 28: 26, 90: 80, 92: 81, 157: 146, 182: 171}
V11, V10 = np.array(["x"] * 182, dtype=object)[:, None], np.array(["x"] * 172, dtype=object)


def name_of(number: int) -> str:
    return f"COCO_train2014_{number:012d}"


def ids_of(number: int) -> np.ndarray:
    """Blocks of the ids above, int (h, w); all of them in the larger pictures."""
    size = {**TRAIN, **TEST}[number]
    blocks = np.random.default_rng(number).permutation([*NUMBERS, *NUMBERS]).reshape(4, 4)
    return np.kron(blocks, np.ones((size[0] // 4 + 1, size[1] // 4 + 1), int))[: size[0], : size[1]]


def numbers_of(number: int) -> np.ndarray:
    return np.vectorize(NUMBERS.get)(ids_of(number)).astype(np.uint8)


def write_mat(path: Path, ids: np.ndarray, names: np.ndarray | None = V11) -> None:
    others = {} if names is None else {"names": names, "captions": np.array(["a cat"], dtype=object)}
    savemat(path, {"S": ids.astype(np.float64), "regionMapStuff": ids, **others}, do_compression=True)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    root = tmp_path / "official"
    for folder in ("images", "annotations", "imageLists"):
        (root / folder).mkdir(parents=True)
    for part, pictures in PARTS.items():
        for number, (height, width) in pictures.items():
            Image.new("RGB", (width, height)).save(root / "images" / f"{name_of(number)}.jpg")
            write_mat(root / "annotations" / f"{name_of(number)}.mat", ids_of(number))
        (root / "imageLists" / f"{part}.txt").write_text("\n".join(map(name_of, pictures)))
    (root / "imageLists" / "all.txt").write_text("\n".join(map(name_of, [*TRAIN, *TEST])))
    return root


def convert(root: Path, target: Path) -> Path:
    """What mmsegmentation's converter does with it, into the same folder or another one."""
    for part, pictures in PARTS.items():
        for folder in ("images", "annotations"):
            (target / folder / f"{part}2014").mkdir(parents=True)
        for name, number in ((name_of(number), number) for number in pictures):
            shutil.copy(root / "images" / f"{name}.jpg", target / "images" / f"{part}2014")
            path = target / "annotations" / f"{part}2014" / f"{name}_labelTrainIds.png"
            Image.fromarray(numbers_of(number)).save(path)
    return target


@pytest.fixture
def converted(official: Path, tmp_path: Path) -> Path:
    return convert(official, tmp_path / "converted")


FORMS = ("official", "converted")


@pytest.mark.parametrize("form", FORMS)
def test_both_forms_give_the_same_labels_moved_once(request, form):
    root = request.getfixturevalue(form)
    for split, pictures in (("train", TRAIN), ("val", TEST)):
        found = CocoStuffSet(root, "val" if split == "val" else "train")
        found = pickle.loads(pickle.dumps(found))
        assert [found.name(k) for k in range(len(found))] == [name_of(number) for number in pictures]
        assert (found.num_classes, found.class_names) == (171, COCO_STUFF_CLASS_NAMES)
        assert str(found.summary) == f"{len(pictures)} images; left out: nothing"
        for k, (number, size) in enumerate(pictures.items()):
            numbers, labels = numbers_of(number).astype(int), found.labels(k)
            assert found.size(k) == size
            assert found.read(k).shape == (*size, 3)
            assert labels.dtype == np.uint8
            np.testing.assert_array_equal(labels, np.where(numbers == 0, 255, numbers - 1))
            assert {0, 170, 255} <= set(np.unique(labels).tolist())


@pytest.mark.parametrize("form", FORMS)
def test_tuning_images_are_taken_from_training(request, form):
    root = request.getfixturevalue(form)
    tune, train = (CocoStuffSet(root, split, tune_images=2) for split in ("tune", "train"))
    assert [tune.name(k) for k in range(2)] == [name_of(9), name_of(30)]
    assert [train.name(k) for k in range(len(train))] == [name_of(25), name_of(34)]
    assert tune.manifest_sha256() != train.manifest_sha256()
    with pytest.raises(DataError, match=r"holds 4 images, too few to set data\.tune_images=4 aside"):
        CocoStuffSet(root, "tune", tune_images=4)


def test_a_folder_converted_in_place_passes_for_converted(official, converted):
    convert(official, official)
    in_place, clean = CocoStuffSet(official, "val"), CocoStuffSet(converted, "val")
    assert in_place.manifest_sha256() == clean.manifest_sha256()
    assert str(in_place.summary) == "2 images; left out: 12 other files"
    np.testing.assert_array_equal(in_place.labels(0), clean.labels(0))


def test_what_no_list_names_is_counted(official):
    Image.new("RGB", (9, 9)).save(official / "images" / f"{name_of(5)}.jpg")
    (official / "annotations" / "notes.txt").write_text("")
    assert str(CocoStuffSet(official, "val").summary) == "2 images; left out: 1 files in no list, 1 other files"
    (official / "imageLists").rename(official / "imagesLists")
    assert len(CocoStuffSet(official, "val")) == 2


# what a user can get wrong


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        CocoStuffSet(root, "val")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_folders_are_explained(tmp_path, official, converted):
    assert "nowhere does not exist — expected ROOT/images/*.jpg" in refusal(tmp_path / "nowhere")
    (tmp_path / "images").mkdir()
    assert f"{tmp_path / 'annotations'} does not exist — expected ROOT/images" in refusal(tmp_path)
    (tmp_path / "annotations").mkdir()
    assert f"{tmp_path} holds neither label maps (.mat) nor converted label images" in refusal(tmp_path)
    shutil.rmtree(official / "imageLists")
    path = official / "imageLists" / "test.txt"
    assert f"{path} does not exist, so nothing says which pictures are for what" in refusal(official)
    shutil.rmtree(converted / "images" / "test2014")
    assert f"{converted / 'images' / 'test2014'} does not exist — expected" in refusal(converted)


def test_mixed_forms_are_refused(official):
    convert(official, official)
    name = f"{name_of(34)}.jpg"
    (official / "images" / "train2014" / name).unlink()
    message = refusal(official)
    assert f"{official} mixes pictures and label maps as given out (6 and 6) with converted ones" in message
    assert "other pictures (5 and 6)" in message
    shutil.rmtree(official / "images" / "train2014")
    shutil.rmtree(official / "images" / "test2014")
    assert "as given out (6 and 6) with converted ones of other pictures (0 and 6)" in refusal(official)


@pytest.mark.parametrize("place", ["stuffthingmaps", "images/train2017", "annotations/val2017", "train2017"])
def test_the_release_of_164k_is_recognised(official, place):
    (official / place).mkdir()
    message = refusal(official)
    assert f"{official / place}: {official} is COCO-Stuff's release of 164,000 pictures" in message
    assert "COCO-Stuff-10K version 1.1" in message


def test_the_release_of_164k_is_recognised_by_its_labels(converted):
    path = converted / "annotations" / "test2014" / f"{name_of(109)}_labelTrainIds.png"
    values = numbers_of(109)
    Image.fromarray(np.where(values == 0, 255, values - 1).astype(np.uint8)).save(path)
    with pytest.raises(DataError, match=r"have the value 255; 171 classes allow 0 … 171 .*164,000 pictures has 255"):
        CocoStuffSet(converted, "val").labels(1)


def test_version_1_0_is_recognised_by_its_names(official):
    path = official / "annotations" / f"{name_of(109)}.mat"
    write_mat(path, ids_of(109) % 172 + 1, V10)
    message = refusal(official)
    assert f"label map {path} is of COCO-Stuff-10K version 1.0, which names 172 classes instead of 182" in message
    write_mat(path, ids_of(109), V10[:59])
    assert f"label map {path} is not of COCO-Stuff-10K: it names 59 classes" in refusal(official)


def test_version_1_0_is_told_by_its_ids_where_nothing_is_named(official):
    for number in TEST:
        write_mat(official / "annotations" / f"{name_of(number)}.mat", np.minimum(ids_of(number), 172), None)
    message = refusal(official)
    assert f"{official / 'annotations'}: the label maps name no classes (variable 'names')" in message
    assert "no id above 172" in message
    write_mat(official / "annotations" / f"{name_of(109)}.mat", ids_of(109), None)
    assert len(CocoStuffSet(official, "val")) == 2


@pytest.mark.parametrize(("number", "note"), [(12, r" \(street sign, which"), (183, ""), (255, r" \(unlabelled in")])
def test_foreign_ids_are_named(official, number, note):
    path = official / "annotations" / f"{name_of(109)}.mat"
    ids = ids_of(109)
    ids[:2, :3] = number
    write_mat(path, ids)
    with pytest.raises(DataError, match=rf"{name_of(109)}\.mat has the id {number}{note}.* in 6 places; .*1\.1"):
        CocoStuffSet(official, "val").labels(1)


def test_what_a_list_names_must_be_there(official):
    path = official / "annotations" / f"{name_of(109)}.mat"
    whole = path.read_bytes()
    path.unlink()
    message = refusal(official)
    assert f"test.txt names {name_of(109)}, which has no label map in {official / 'annotations'} (1 of 2" in message
    path.write_bytes(whole)
    (official / "images" / f"{name_of(77)}.jpg").unlink()
    assert f"test.txt names {name_of(77)}, which has no picture in {official / 'images'}" in refusal(official)
    (official / "imageLists" / "test.txt").write_text(f"{name_of(109)}\n{name_of(25)}\n")
    assert f"share 1 pictures (first: {name_of(25)})" in refusal(official)


def test_converted_pairs_must_be_whole(official, converted):
    shutil.copytree(official / "imageLists", converted / "imageLists")
    assert len(CocoStuffSet(converted, "val")) == 2
    labels, images = converted / "annotations" / "test2014", converted / "images" / "test2014"
    path = labels / f"{name_of(109)}_labelTrainIds.png"
    path.rename(labels / f"{name_of(109)}.png")
    message = refusal(converted)
    assert f"image {images / name_of(109)}.jpg has no label image {path} (1 of 2 images have none)" in message
    (images / f"{name_of(109)}.jpg").unlink()
    message = refusal(converted)
    assert f"{images} holds 1 pictures, {converted / 'imageLists' / 'test.txt'} names 2" in message
    assert f"(first that only one of them has: {name_of(109)})" in message


@pytest.mark.parametrize("form", FORMS)
def test_labels_of_another_size_are_found_at_the_start(request, form):
    root = request.getfixturevalue(form)
    folder = root / "images" / ("test2014" if form == "converted" else "")
    Image.new("RGB", (21, 27)).save(folder / f"{name_of(109)}.jpg")
    assert f"is 27x21 pixels, its image {name_of(109)}.jpg 21x27" in refusal(root)


def test_unsound_labels_are_named(official, converted):
    path = converted / "annotations" / "test2014" / f"{name_of(109)}_labelTrainIds.png"
    values = numbers_of(109)
    values[0, 0] = 172
    Image.fromarray(values).save(path)
    with pytest.raises(DataError, match=r"1 pixels have the value 172; 171 classes allow 0 … 171"):
        CocoStuffSet(converted, "val").labels(1)
    Image.new("RGB", (27, 21)).save(path)
    assert f"{path} holds colours (RGB)" in refusal(converted)
    path = official / "annotations" / f"{name_of(109)}.mat"
    val = CocoStuffSet(official, "val")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=rf"cannot read label map .*{name_of(109)}\.mat"):
        val.labels(1)
