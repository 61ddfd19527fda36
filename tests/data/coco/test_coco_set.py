import json
import pickle
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from dit_bench.data.coco.coco_set import CocoSet
from dit_bench.data.images import read_image
from dit_bench.errors import DataError


@pytest.fixture
def truth(content, write_coco, capsys):
    found = COCO(str(write_coco(content) / "annotations" / "instances_val2017.json"))
    capsys.readouterr()
    return found


def test_evaluation_keeps_every_image(content, write_coco):
    val = CocoSet(write_coco(content), "val", training=False)
    assert [val.image_id(k) for k in range(len(val))] == [2, 5, 7, 9]
    assert [val.size(k) for k in range(len(val))] == [(64, 48), (40, 60), (20, 60), (40, 60)]
    assert val.class_names == ("dog", "cat", "owl")
    assert (val.num_classes, val.category_ids) == (3, (2, 7, 90))
    for k in range(len(val)):
        assert val.read(k).dtype == np.uint8
        np.testing.assert_array_equal(val.read(k), read_image(val.path(k)))


def test_objects_are_those_of_pycocotools(content, write_coco, truth):
    val = CocoSet(write_coco(content), "val", training=False)
    learnt = {2: [5], 5: [], 7: [15], 9: [3, 11]}
    for k in range(len(val)):
        height, width = val.size(k)
        annotations = truth.loadAnns(learnt[val.image_id(k)])
        objects = val.objects(k)
        assert objects.boxes.dtype == np.float64
        assert objects.boxes.shape == (len(annotations), 4)
        assert objects.labels.dtype == np.int64
        assert objects.masks is not None
        assert objects.masks.shape == (len(annotations), height, width)
        assert objects.masks.dtype == bool
        for box, label, mask, annotation in zip(objects.boxes, objects.labels, objects.masks, annotations, strict=True):
            x, y, w, h = annotation["bbox"]
            assert box.tolist() == [x, y, min(x + w, width), min(y + h, height)]
            assert val.class_names[label] == truth.loadCats(annotation["category_id"])[0]["name"]
            np.testing.assert_array_equal(mask, truth.annToMask(annotation).astype(bool))
            assert mask.any()
        assert val.objects(k, masks=False).masks is None


def test_ground_truth_is_the_file_as_pycocotools_reads_it(content, write_coco, truth, capsys):
    ours: Any = COCO()
    ours.dataset = CocoSet(write_coco(content), "val", training=False).ground_truth()
    ours.createIndex()
    capsys.readouterr()
    assert ours.imgs == truth.imgs
    assert ours.cats == truth.cats
    assert set(ours.anns) == set(truth.anns)
    for number, theirs in truth.anns.items():
        assert {**ours.anns[number], "segmentation": None} == {
            **{key: value for key, value in theirs.items() if key != "ignore"},
            "segmentation": None,
        }
        np.testing.assert_array_equal(ours.annToMask(ours.anns[number]), truth.annToMask(theirs))
    assert json.loads(json.dumps(ours.dataset)) == ours.dataset


def test_training_leaves_out_what_cannot_be_learnt_and_counts_it(content, write_coco):
    root = write_coco(content, "train2017")
    Image.new("RGB", (40, 40)).save(root / "train2017" / "extra.jpg")
    (root / "train2017" / "notes.txt").write_text("")
    train = CocoSet(root, "train", training=True)
    assert [train.image_id(k) for k in range(len(train))] == [2, 9]
    counts = {name: value for name, value in vars(train.summary).items() if value}
    assert counts == {
        "images": 2,
        "objects": 3,
        "images_without_annotations": 1,
        "images_too_small": 1,
        "unlisted_files": 1,
        "crowd_objects": 1,
        "ignored_objects": 1,
        "boxes_without_extent": 1,
        "boxes_outside": 1,
        "boxes_below_one_pixel": 1,
        "objects_without_area": 1,
    }
    line = str(train.summary)
    assert line.startswith("2 images with 3 objects; left out: 1 images without annotations, 1 images too small")
    assert "\n" not in line
    evaluated = CocoSet(root, "train", training=False)
    assert len(evaluated) == 4
    assert evaluated.summary.images_without_annotations == evaluated.summary.images_too_small == 0
    assert evaluated.summary.objects == 4


def test_an_image_of_crowds_is_none_to_learn_from(content, write_coco):
    for entry in content["annotations"]:
        entry["iscrowd"] = int(entry["image_id"] == 9 or entry["iscrowd"])
    train = CocoSet(write_coco(content, "train2017"), "train", training=True)
    assert [train.image_id(k) for k in range(len(train))] == [2]
    assert train.summary.images_without_usable_object == 1
    assert {entry["id"] for entry in train.ground_truth()["annotations"]} == {5, 6, 8, 12, 13, 14}
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] == 9]
    with pytest.raises(DataError, match=r"instances_train2017\.json has no image with an object to learn from"):
        CocoSet(write_coco(content, "train2017"), "train", training=True)


def test_tuning_images_are_taken_from_training(many):
    whole = CocoSet(many, "train", training=False)
    train = CocoSet(many, "train", training=False, tune_images=4)
    tune = CocoSet(many, "tune", training=False, tune_images=4)
    ids = [{dataset.image_id(k) for k in range(len(dataset))} for dataset in (whole, train, tune)]
    assert ids[1] | ids[2] == ids[0] == set(range(1, 20))
    assert not ids[1] & ids[2]
    assert ids[2] == {1, 5, 10, 15}  # 1 + floor(19 k / 4)
    assert train.summary.images_of_another_split == 4
    assert tune.summary.images_of_another_split == 15
    assert {entry["image_id"] for entry in tune.ground_truth()["annotations"]} == ids[2]
    assert tune.summary.objects == len(tune.ground_truth()["annotations"])
    assert len({dataset.manifest_sha256() for dataset in (whole, train, tune)}) == 3
    with pytest.raises(DataError, match=r"lists 19 images, too few to set data\.tune_images=19 aside"):
        CocoSet(many, "tune", training=False, tune_images=19)


def test_manifest_knows_annotations_and_files(content, write_coco):
    first = CocoSet(write_coco(content), "val", training=False).manifest_sha256()
    assert CocoSet(write_coco(content), "val", training=False).manifest_sha256() == first
    content["annotations"][0]["bbox"][0] += 1
    root = write_coco(content)
    second = CocoSet(root, "val", training=False).manifest_sha256()
    Image.new("RGB", (60, 40)).save(root / "val2017" / "nine.jpg")
    assert len({first, second, CocoSet(root, "val", training=False).manifest_sha256()}) == 3


def test_worker_processes_get_the_same_set(many):
    train = CocoSet(many, "train", training=True)
    sent = pickle.loads(pickle.dumps(train))
    assert sent.manifest_sha256() == train.manifest_sha256()
    for mine, theirs in zip(vars(train.objects(3)).values(), vars(sent.objects(3)).values(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


# what a user can get wrong


@pytest.mark.parametrize("absent", ["", "val2017", "annotations/instances_val2017.json"])
def test_missing_parts_are_explained(content, write_coco, absent):
    root = write_coco(content)
    (root / absent).rename(root.parent / "elsewhere")
    with pytest.raises(DataError) as caught:
        CocoSet(root, "val", training=False)
    assert f"{root / absent} does not exist" in str(caught.value)
    assert re.search(r"expected ROOT/\{train,val\}2017/\*\.jpg .*cocodataset\.org", str(caught.value))


def test_missing_images_are_named(content, write_coco):
    root = write_coco(content)
    for name in ("five.jpg", "nine.jpg"):
        (root / "val2017" / name).unlink()
    with pytest.raises(DataError, match=r"val2017/five\.jpg does not exist \(2 of the 4 listed ones are missing\)"):
        CocoSet(root, "val", training=False)


def test_truncated_images_stop_at_their_path(content, write_coco):
    root = write_coco(content)
    path = root / "val2017" / "nine.jpg"
    path.write_bytes(path.read_bytes()[:900])
    val = CocoSet(root, "val", training=False)
    with pytest.raises(DataError, match=r"cannot read image .*nine\.jpg"):
        val.read(3)


def test_images_of_another_size_are_refused(content, write_coco):
    root = write_coco(content)
    Image.new("RGB", (40, 60)).save(root / "val2017" / "nine.jpg")
    val = CocoSet(root, "val", training=False)
    with pytest.raises(DataError, match=r"nine\.jpg is 40x60 pixels, but .*val2017\.json says 60x40 for image 9"):
        val.read(3)


def test_objects_without_masks_are_found_before_training(content, write_coco):
    CocoSet(write_coco(content), "val", training=False).check_masks()
    del content["annotations"][1]["segmentation"]
    content["annotations"][5]["segmentation"] = []  # outside its image: nobody learns it
    val = CocoSet(write_coco(content), "val", training=False)
    with pytest.raises(DataError, match=r"1 objects have no mask \(first: annotation 3\)"):
        val.check_masks()
    assert "segmentation" not in next(entry for entry in val.ground_truth()["annotations"] if entry["id"] == 3)


def test_a_set_without_categories_is_refused(content, write_coco):
    with pytest.raises(DataError, match="lists no categories"):
        CocoSet(write_coco(content | {"categories": [], "annotations": []}), "val", training=False)
