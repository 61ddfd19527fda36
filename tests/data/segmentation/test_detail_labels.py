import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from dit_bench.data.segmentation.detail_labels import DetailLabels, read_detail
from dit_bench.data.segmentation.folders import Pair
from dit_bench.data.segmentation.pascal_context_classes import PASCAL_CONTEXT_IDS
from dit_bench.errors import DataError

SIZES = {2008000002: (30, 41), 2008000003: (25, 20), 2010000009: (11, 7)}


def blob(size: tuple[int, int], seed: int) -> np.ndarray:
    """A mask with ragged edges."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    centre = rng.uniform(0.2, 0.8, 2) * size
    distances = np.hypot(rows - centre[0], columns - centre[1])
    return distances + rng.normal(size=size) < 0.4 * min(size)


def annotation(image_id: int, category_id: int, mask: np.ndarray) -> dict[str, Any]:
    runs: Any = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = {"size": [int(side) for side in runs["size"]], "counts": runs["counts"].decode()}
    parts = [{"part_id": 255, "segmentation": counts}]
    return {"id": 7, "image_id": image_id, "category_id": category_id, "segmentation": counts, "parts": parts}


@pytest.fixture
def content() -> dict[str, Any]:
    """Three images; the masks of the first overlap and stand apart from one another, the last has none."""
    images = [
        {"image_id": key, "file_name": f"{str(key)[:4]}_{str(key)[4:]}.jpg", "phase": "val" if k else "train"}
        | {"height": SIZES[key][0], "width": SIZES[key][1], "date": "x"}
        for k, key in enumerate(SIZES)
    ]
    first, second, _ = SIZES
    masks = [(first, 284, 1), (second, 2, 2), (first, 420, 3), (first, 1, 4)]
    annotations = [annotation(key, category, blob(SIZES[key], seed)) for key, category, seed in masks]
    return {"info": {}, "images": images, "annos_segmentation": annotations, "categories": [], "annos_occlusion": 0}


def write(folder: Path, content: Any) -> Path:
    path = folder / "trainval_merged.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def pair(name: str) -> Pair:
    return Pair(f"{name}.jpg", "trainval_merged.json")


def test_masks_are_painted_in_the_order_of_the_file(tmp_path, content):
    labels = DetailLabels(read_detail(write(tmp_path, content)), PASCAL_CONTEXT_IDS)
    expected = np.zeros((30, 41), np.uint8)
    # person is 37th and tree 53rd of mmsegmentation's classes; 1, accordion, is none of them
    for seed, number in ((1, 37), (3, 53), (4, 0)):
        expected[blob((30, 41), seed)] = number
    assert len(np.unique(expected)) == 3
    for reader in (labels, pickle.loads(pickle.dumps(labels))):
        values = reader.values(pair("2008_000002"))
        assert values.dtype == np.uint8
        np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(labels.values(pair("2008_000003")), blob((25, 20), 2))
    assert not labels.values(pair("2010_000009")).any()
    assert [labels.size(pair(name)) for name in ("2008_000002", "2010_000009")] == [(30, 41), (11, 7)]


def test_many_masks_keep_their_order(tmp_path, content):
    rng = np.random.default_rng(0)
    canvases = {key: np.zeros(SIZES[key], np.uint8) for key in SIZES}
    content["annos_segmentation"] = []
    for seed in range(90):
        key = int(rng.choice(list(SIZES)))
        category, number = ((284, 37), (420, 53), (2, 1), (458, 59))[rng.integers(4)]
        mask = blob(SIZES[key], seed)
        content["annos_segmentation"].append(annotation(key, category, mask))
        canvases[key][mask] = number
    labels = DetailLabels(read_detail(write(tmp_path, content)), PASCAL_CONTEXT_IDS)
    for key, canvas in canvases.items():
        np.testing.assert_array_equal(labels.values(pair(f"{str(key)[:4]}_{str(key)[4:]}")), canvas)


def test_images_by_phase(tmp_path, content):
    found = read_detail(write(tmp_path, content))
    assert found.names_of_phase("train") == ("2008_000002",)
    assert found.names_of_phase("val") == ("2008_000003", "2010_000009")
    with pytest.raises(DataError, match=r"trainval_merged\.json has no image of the phase 'test'"):
        found.names_of_phase("test")


def test_identity_is_that_of_the_masks(tmp_path, content):
    def identities() -> list[str]:
        labels = DetailLabels(read_detail(write(tmp_path, content)), PASCAL_CONTEXT_IDS)
        return [labels.identity(pair(name)) for name in ("2008_000002", "2008_000003")]

    before = identities()
    content["annos_segmentation"][2]["category_id"] = 421
    after = identities()
    assert after[0] != before[0]
    assert after[1] == before[1]


def broken(content: dict[str, Any], *keys: Any, value: Any = None) -> dict[str, Any]:
    """Remove what lies at a path of keys, or put `value` there."""
    place: Any = content
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return content


MASKS = "annos_segmentation"


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("images",), None, "images: Field required"),
        ((MASKS,), None, "annos_segmentation: Field required"),
        ((MASKS,), [], "annos_segmentation is empty"),
        (("images", 1, "phase"), None, r"images\[1\]\.phase: Field required"),
        (("images", 1, "height"), 0, r"images\[1\]\.height: Input should be greater than 0"),
        (("images", 1, "height"), "25", r"images\[1\]\.height: Input should be a valid integer"),
        (("images", 1, "image_id"), 2008000002, r"images\[1\] \(2008_000003\.jpg, 2008000002\) stands there twice"),
        (("images", 1, "file_name"), "2008_000002.jpg", r"images\[1\] .* stands there twice"),
        ((MASKS, 2, "image_id"), 5, r"annos_segmentation\[2\] belongs to image 5, which images lacks"),
        ((MASKS, 2, "category_id"), -1, r"annos_segmentation\[2\] has the category -1"),
        ((MASKS, 2, "segmentation", "size"), [41, 30], r"\[2\] is 30x41 pixels, its image 2008_000002\.jpg 41x30"),
        ((MASKS, 2, "segmentation"), [[1, 2, 3, 4, 5, 6]], r"annos_segmentation\[2\]\.segmentation: Input should be"),
        ((MASKS, 2, "segmentation", "counts"), [5, 5], r"annos_segmentation\[2\]\.segmentation\.counts: Input should"),
    ],
)
def test_unsound_entries_are_named(tmp_path, content, keys, value, message):
    path = write(tmp_path, broken(content, *keys, value=value))
    with pytest.raises(DataError, match=message) as caught:
        read_detail(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files_are_named(tmp_path, content):
    with pytest.raises(DataError, match=r"cannot read annotations .*absent\.json: No such file"):
        read_detail(tmp_path / "absent.json")
    with pytest.raises(DataError, match=r"trainval_merged\.json: Invalid JSON"):
        read_detail(write(tmp_path, json.dumps(content)[:-90]))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("counts", "09", "runs cover 9 of 1230 pixels"),
        ("counts", "0\u00e9", "compressed counts are damaged"),
        ("category", 460, "has the id 460 in 1 places; ids go from 0 to 459"),
    ],
)
def test_damaged_masks_stop_at_their_image(tmp_path, content, key, value, message):
    entry = content[MASKS][2]
    if key == "counts":
        entry["segmentation"]["counts"] = value
    else:
        entry["category_id"] = value
    path = write(tmp_path, content)
    labels = DetailLabels(read_detail(path), PASCAL_CONTEXT_IDS)
    with pytest.raises(DataError, match=message) as caught:
        labels.values(pair("2008_000002"))
    assert f"mask of 2008_000002.jpg in {path}" in str(caught.value)
    labels.values(pair("2008_000003"))
