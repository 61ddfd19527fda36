from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_bench.data.scenes.export import export_ade20k
from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.build import build_segmentation_set
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.settings import DataSettings, SegmentationSettings

NAMES = ["sky", "road", "car", "tree"]


def build(data: dict[str, Any], split: Split, cache_dir: Path | None = None, **options: Any) -> Any:
    return build_segmentation_set(DataSettings(**data), SegmentationSettings(**options), split, cache_dir)


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


def test_other_settings_are_refused(small, tmp_path):
    with pytest.raises(UsageError, match=r"data\.dataset=coco has no semantic maps"):
        build({"dataset": "coco", "root": str(small)}, "val")
    with pytest.raises(DataError, match=r"data\.root is not set.*sceneparsing"):
        build({"dataset": "ade20k"}, "val")
    with pytest.raises(UsageError, match=r"segmentation\.classes names 4 classes, but data\.dataset is digit_scenes"):
        build({"val_images": 2, "image_size_px": 48}, "val", tmp_path, classes=NAMES)
