from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dit_bench.data.scenes.export import export_ade20k
from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.build import build_segmentation_set
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.dense_settings import SegmentationSettings
from dit_bench.recipes.settings import DataSettings

NAMES = ["sky", "road", "car", "tree"]


def build(
    data: dict[str, Any], split: Split, cache_dir: Path | None = None, dataset: str | None = None, **options: Any
) -> Any:
    settings = DataSettings(**data)
    if dataset is not None:
        settings = settings.model_copy(update={"dataset": dataset})
    return build_segmentation_set(settings, SegmentationSettings(**options), split, cache_dir)


def test_folders_by_their_settings(small):
    folder = {"dataset": "ade20k", "root": str(small), "tune_images": 3}
    val = build(folder, "val", classes=NAMES, zero_label="ignore")
    assert (len(val), val.class_names) == (3, tuple(NAMES))
    assert val.name(0) == "ADE_val_00000001"
    assert len(build(folder, "train")) == 11
    assert len(build(folder, "tune")) == 3
    assert len(build(folder | {"eval_split": "tune"}, "train")) == 8
    assert build(folder, "val", zero_label="class").num_classes == 151


def test_scenes_by_their_settings(tmp_path):
    scenes = {"val_images": 4, "tune_images": 2, "image_size_px": 48}
    assert build(scenes, "val", tmp_path).num_classes == 10
    assert build(scenes, "tune", tmp_path, zero_label="class").num_classes == 11
    assert len(build(scenes, "tune", tmp_path)) == 2


def test_exported_scenes_are_read_as_the_scenes_themselves(tmp_path):
    scenes: dict[str, Any] = {"train_images": 5, "val_images": 3, "image_size_px": 48}
    export_ade20k(tmp_path / "ade", DataSettings(**scenes), tmp_path)
    names = [f"digit_{k}" for k in range(10)]
    folder = {"dataset": "ade20k", "root": str(tmp_path / "ade")}
    for split in ("train", "val"):
        for options in ({"zero_label": "ignore", "classes": names}, {"zero_label": "class", "classes": ["no", *names]}):
            read = build(folder, split, **options)
            drawn = build(scenes, split, tmp_path, zero_label=options["zero_label"])
            assert len(read) == len(drawn)
            for k in range(len(read)):
                np.testing.assert_array_equal(read.labels(k), drawn.labels(k))
                assert np.abs(read.read(k).astype(int) - drawn.read(k)).mean() < 3


@pytest.fixture
def pascal_context(tmp_path: Path) -> Path:
    voc = tmp_path / "VOCdevkit" / "VOC2010"
    for folder in ("JPEGImages", "SegmentationClassContext", "ImageSets/SegmentationContext"):
        (voc / folder).mkdir(parents=True)
    for name in "abcdef":
        Image.new("RGB", (20, 10)).save(voc / "JPEGImages" / f"{name}.jpg")
        Image.new("L", (20, 10), 59).save(voc / "SegmentationClassContext" / f"{name}.png")
    for part, names in (("train", "abcd"), ("val", "ef")):
        (voc / "ImageSets" / "SegmentationContext" / f"{part}.txt").write_text("\n".join(names))
    return tmp_path


@pytest.fixture
def coco_stuff(tmp_path: Path) -> Path:
    for part, names in (("train2014", "abcd"), ("test2014", "ef")):
        for folder in ("images", "annotations"):
            (tmp_path / folder / part).mkdir(parents=True)
        for name in names:
            Image.new("RGB", (20, 10)).save(tmp_path / "images" / part / f"{name}.jpg")
            Image.new("L", (20, 10), 171).save(tmp_path / "annotations" / part / f"{name}_labelTrainIds.png")
    return tmp_path


@pytest.mark.parametrize(("dataset", "num_classes"), [("pascal_context", 59), ("coco_stuff_10k", 171)])
def test_listed_folders_by_their_settings(request, dataset, num_classes):
    folder = {"root": str(request.getfixturevalue(dataset.removesuffix("_10k"))), "tune_images": 1}
    val = build(folder, "val", dataset=dataset)
    assert (len(val), val.num_classes) == (2, num_classes)
    assert np.unique(val.labels(0)).tolist() == [num_classes - 1]
    assert len(build(folder, "train", dataset=dataset)) == 4
    assert len(build(folder, "tune", dataset=dataset)) == 1
    assert len(build(folder | {"eval_split": "tune"}, "train", dataset=dataset)) == 3
    with pytest.raises(UsageError, match=rf"names 4 classes, but data\.dataset is {dataset} — leave .* its own"):
        build(folder, "val", dataset=dataset, classes=NAMES)
    with pytest.raises(DataError, match=r"data\.root is not set, .*nothing is downloaded"):
        build({}, "val", dataset=dataset)


def test_zero_may_be_a_class_only_where_it_means_something(pascal_context, coco_stuff):
    folder = {"root": str(pascal_context)}
    val = build(folder, "val", dataset="pascal_context", zero_label="class")
    assert (val.num_classes, val.labels(0).max()) == (60, 59)
    with pytest.raises(UsageError, match=r"segmentation\.zero_label is class, but a 0 in COCO-Stuff-10K is"):
        build({"root": str(coco_stuff)}, "val", dataset="coco_stuff_10k", zero_label="class")


def test_other_settings_are_refused(small, tmp_path):
    with pytest.raises(UsageError, match=r"data\.dataset=coco has no semantic maps"):
        build({"dataset": "coco", "root": str(small)}, "val")
    with pytest.raises(DataError, match=r"data\.root is not set.*sceneparsing"):
        build({"dataset": "ade20k"}, "val")
    with pytest.raises(UsageError, match=r"segmentation\.classes names 4 classes, but data\.dataset is digit_scenes"):
        build({"val_images": 2, "image_size_px": 48}, "val", tmp_path, classes=NAMES)
