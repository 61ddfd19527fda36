import json

import numpy as np
import pytest

from dit_bench.data.coco.annotations import read_annotations
from dit_bench.errors import DataError


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "instances.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_annotations(path)

    return read


def test_everything_is_sorted_by_id(content, read):
    found = read(content)
    assert found.category_ids == (2, 7, 90)
    assert found.category_names == ("dog", "cat", "owl")
    assert found.image_ids.tolist() == [2, 5, 7, 9]
    assert found.file_names == ("two.jpg", "five.jpg", "seven.jpg", "nine.jpg")
    assert found.sizes.tolist() == [[64, 48], [40, 60], [20, 60], [40, 60]]
    assert found.first_object.tolist() == [0, 6, 6, 7, 10]
    assert found.object_ids.tolist() == [5, 6, 8, 12, 13, 14, 15, 3, 4, 11]
    assert found.labels.tolist() == [0, 0, 0, 0, 0, 0, 1, 2, 0, 1]
    assert np.flatnonzero(found.is_crowd).tolist() == [8]
    assert np.flatnonzero(found.is_ignored).tolist() == [5]
    assert found.image_of_object.tolist() == [0] * 6 + [2] + [3] * 3


def test_every_entry_keeps_its_own_values(content, read):
    found = read(content)
    by_id = {entry["id"]: entry for entry in content["annotations"]}
    for k, number in enumerate(found.object_ids.tolist()):
        assert found.boxes[k].tolist() == by_id[number]["bbox"]
        assert found.areas[k] == by_id[number]["area"]
        assert found.category_ids[found.labels[k]] == by_id[number]["category_id"]
        assert found.image_ids[found.image_of_object[k]] == by_id[number]["image_id"]


def test_a_file_without_objects_is_sound(content, read):
    found = read(content | {"annotations": []})
    assert found.boxes.shape == (0, 4)
    assert found.first_object.tolist() == [0] * 5
    assert found.image_of_object.tolist() == []


def change(kind, number, **values):
    """Set keys of the entry with an id; None removes a key."""

    def apply(content):
        entry = next(entry for entry in content[kind] if entry["id"] == number)
        for key, value in values.items():
            if value is None:
                del entry[key]
            else:
                entry[key] = value

    return apply


def add(kind, number):
    return lambda content: content[kind].append(next(entry for entry in content[kind] if entry["id"] == number))


CASES = [
    *[(lambda content, key=key: content.pop(key), f"'{key}' is missing") for key in ("images", "categories")],
    (lambda content: content.pop("annotations"), "'annotations' is missing"),
    (lambda content: content.update(images={}), "'images' must be a list"),
    (lambda content: content.update(images=[], annotations=[]), "images is empty"),
    (lambda content: content["images"].append(3), r"images\[4\] must be an object, got 3"),
    (lambda content: content["annotations"].append({}), r"annotations\[10\] lacks the key 'id'"),
    *[
        (change("annotations", 11, **{key: None}), f"annotation 11 lacks the key '{key}'")
        for key in ("image_id", "category_id", "bbox", "area", "iscrowd")
    ],
    *[
        (change("images", 9, **{key: None}), f"image 9 lacks the key '{key}'")
        for key in ("file_name", "height", "width")
    ],
    (change("categories", 90, name=None), "category 90 lacks the key 'name'"),
    (change("annotations", 11, image_id=77), "annotation 11 belongs to image 77, which images does not list"),
    (change("annotations", 11, category_id=1), "annotation 11 has category 1, which categories does not list"),
    (add("annotations", 11), "annotation id 11 stands twice"),
    (add("images", 9), "image id 9 stands twice"),
    (add("categories", 90), "category id 90 stands twice"),
    (change("annotations", 11, bbox=[1, 2, float("nan"), 4]), r"annotation 11: bbox must be .* got \[1, 2, nan, 4\]"),
    (change("annotations", 11, bbox=[1, 2, 10**400, 4]), "annotation 11: bbox must be four finite numbers"),
    (change("annotations", 11, bbox=[1, 2, 3]), "annotation 11: bbox must be four finite numbers"),
    (change("annotations", 11, bbox="box"), "annotation 11: bbox must be four finite numbers"),
    (change("annotations", 11, area=float("nan")), "annotation 11: area must be a finite number, got nan"),
    (change("annotations", 11, iscrowd=2), "annotation 11: iscrowd must be 0 or 1, got 2"),
    (change("annotations", 11, image_id=9.0), "annotation 11: image_id must be a whole number, got 9.0"),
    (change("images", 9, height=0), "image 9: height must be positive, got 0"),
    (change("images", 9, width="60"), "image 9: width must be a whole number, got '60'"),
    (change("images", 9, file_name="../nine.jpg"), "image 9: file_name must lie inside the image folder"),
    (change("images", 9, file_name=3), "image 9: file_name must be text, got 3"),
    (change("annotations", 3, segmentation={"size": [60, 40], "counts": [2400]}), r"annotation 3: .*\[60, 40\].*\[40,"),
    (change("annotations", 3, segmentation=[[1, 2, 3]]), "annotation 3: segmentation holds a polygon of 3 numbers"),
]


@pytest.mark.parametrize(("spoil", "message"), CASES, ids=[message for _, message in CASES])
def test_unsound_files_are_refused_in_one_line(content, read, tmp_path, spoil, message):
    spoil(content)
    with pytest.raises(DataError, match=message) as caught:
        read(content)
    assert str(tmp_path / "instances.json") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ['{"images": [', "", "[" * 100_000, "\x00"])
def test_broken_json_is_named(read, tmp_path, text):
    with pytest.raises(DataError, match=r"instances\.json is no valid JSON") as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_undecodable_and_missing_files_are_named(read, tmp_path):
    (tmp_path / "instances.json").write_bytes(b'{"images": "\xff\xfe"}')
    with pytest.raises(DataError, match="no valid JSON"):
        read_annotations(tmp_path / "instances.json")
    with pytest.raises(DataError, match=r"cannot read annotations .*absent\.json: No such file"):
        read_annotations(tmp_path / "absent.json")


def test_a_list_is_no_annotation_file(read):
    with pytest.raises(DataError, match=r"expected an object .* got list"):
        read([1])
