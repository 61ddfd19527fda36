import numpy as np
import pytest

from dit_bench.data.coco.build import build_detection_set
from dit_bench.data.coco.coco_set import CocoSet
from dit_bench.data.coco.scene_detection_set import SceneDetectionSet
from dit_bench.data.scenes.export import export_coco
from dit_bench.data.scenes.multi_scene_set import load_multi_scenes
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.settings import DataSettings

SMALL = DataSettings(train_images=15, tune_images=4, val_images=6, image_size_px=48)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, cache):
    root = tmp_path_factory.mktemp("exported") / "coco"
    export_coco(root, SMALL, cache)
    return root


@pytest.mark.parametrize(("split", "images_before"), [("train", 0), ("val", 15)])
@pytest.mark.parametrize("training", [True, False])
def test_exported_scenes_read_back_as_they_are(cache, exported, split, images_before, training):
    scenes = SceneDetectionSet(load_multi_scenes(split, SMALL, cache))
    folder = CocoSet(exported, split, training=training)
    assert scenes.summary == folder.summary
    assert len(scenes) == len(folder) > 0
    assert scenes.class_names == folder.class_names
    assert scenes.category_ids == folder.category_ids == tuple(range(1, 11))
    assert scenes.num_classes == folder.num_classes == 10
    for k in range(len(scenes)):
        assert scenes.image_id(k) + images_before == folder.image_id(k)
        assert scenes.size(k) == folder.size(k) == scenes.read(k).shape[:2]
        assert np.abs(scenes.read(k).astype(int) - folder.read(k)).mean() < 4  # JPEG
        ours, theirs = scenes.objects(k), folder.objects(k)
        for name in ("boxes", "labels", "masks"):
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_ground_truth_is_what_is_exported(cache, exported):
    ours = SceneDetectionSet(load_multi_scenes("train", SMALL, cache)).ground_truth()
    theirs = CocoSet(exported, "train", training=False).ground_truth()
    assert ours == theirs
    assert len(ours["annotations"]) > 15


def test_val_ground_truth_is_what_is_exported_but_for_ids(cache, exported):
    def without_ids(dataset):
        annotations = dataset.ground_truth()["annotations"]
        return [{key: entry[key] for key in ("category_id", "bbox", "area", "segmentation")} for entry in annotations]

    scenes = SceneDetectionSet(load_multi_scenes("val", SMALL, cache))
    assert without_ids(scenes) == without_ids(CocoSet(exported, "val", training=False))


def test_masks_are_optional_and_manifest_is_the_scenes(cache):
    scenes = load_multi_scenes("val", SMALL, cache)
    dataset = SceneDetectionSet(scenes)
    dataset.check_masks()
    assert dataset.objects(0, masks=False).masks is None
    assert dataset.manifest_sha256() == scenes.manifest_sha256()


# by settings


def test_sets_are_built_from_settings(cache, exported):
    scenes = build_detection_set(SMALL, "val", training=False, cache_dir=cache)
    assert isinstance(scenes, SceneDetectionSet)
    assert len(scenes) == 6
    data = SMALL.model_copy(update={"dataset": "coco", "root": str(exported)})
    assert len(build_detection_set(data, "train", training=True)) == 15
    assert len(build_detection_set(data, "val", training=False)) == 6
    assert len(build_detection_set(data, "tune", training=False)) == 4
    tuned = data.model_copy(update={"eval_split": "tune"})
    assert len(build_detection_set(tuned, "train", training=True)) == 11


def test_a_home_folder_is_understood(exported, monkeypatch):
    monkeypatch.setenv("HOME", str(exported.parent))
    data = DataSettings(dataset="coco", root="~/coco")
    assert len(build_detection_set(data, "val", training=False)) == 6


def test_missing_root_and_other_data_sets_are_explained():
    with pytest.raises(DataError, match=r"data\.root is not set.*instances_\{train,val\}2017\.json.*cocodataset\.org"):
        build_detection_set(DataSettings(dataset="coco"), "train", training=True)
    with pytest.raises(UsageError, match=r"data\.dataset=imagenet has no boxes"):
        build_detection_set(DataSettings(dataset="imagenet"), "train", training=True)
