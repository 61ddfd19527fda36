from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.datasets import ImageFolder

from dit_bench.data.imagenet import ImageFolderSet
from dit_bench.data.scenes import export
from dit_bench.data.scenes.export import export_ade20k, export_coco, export_imagenet, run_lengths
from dit_bench.data.scenes.multi_scene_set import load_multi_scenes
from dit_bench.data.scenes.scene_set import load_scenes
from dit_bench.data.scenes.sources import Split
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import DataSettings

SMALL = DataSettings(train_images=24, tune_images=12, val_images=11, image_size_px=48)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_imagenet_folder_reads_back_with_torchvision(tmp_path, cache):
    export_imagenet(tmp_path / "out", SMALL, cache)
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == ["train", "tune", "val"]
    for split in ("train", "tune", "val"):
        scenes, stored = load_scenes(split, SMALL, cache), ImageFolder(tmp_path / "out" / split)
        assert tuple(stored.classes) == scenes.class_names
        # files of a class are sorted by scene number
        order = [k for label in range(10) for k in np.flatnonzero(scenes.labels == label)]
        assert stored.targets == scenes.labels[order].tolist()
        for position, k in enumerate(order):
            np.testing.assert_array_equal(np.asarray(stored[position][0]), scenes.images[k])
        assert ImageFolderSet(tmp_path / "out", split).labels.tolist() == stored.targets


def test_coco_reads_back_with_pycocotools(tmp_path, cache, capsys):
    export_coco(tmp_path / "out", SMALL, cache)
    seen = set()
    for split in ("train", "val"):
        scenes = load_multi_scenes(split, SMALL, cache)
        truth = COCO(str(tmp_path / "out" / "annotations" / f"instances_{split}2017.json"))
        assert [truth.cats[k]["name"] for k in sorted(truth.cats)] == list(scenes.class_names)
        for k, image_id in enumerate(sorted(truth.imgs)):
            entry, instances = truth.imgs[image_id], scenes.instances(k)
            with Image.open(tmp_path / "out" / f"{split}2017" / entry["file_name"]) as image:
                assert image.size == (entry["width"], entry["height"])
                assert np.abs(np.asarray(image).astype(int) - scenes.images[k]).mean() < 4
            annotations = truth.loadAnns(truth.getAnnIds(image_id))
            assert [annotation["category_id"] - 1 for annotation in annotations] == instances.classes.tolist()
            for annotation, box, mask in zip(annotations, instances.boxes, instances.masks, strict=True):
                np.testing.assert_array_equal(truth.annToMask(annotation).astype(bool), mask)
                rle: Any = truth.annToRLE(annotation)  # type: ignore[call-overload]
                assert annotation["area"] == coco_mask.area(rle)
                assert annotation["bbox"] == coco_mask.toBbox(rle).tolist() == box.tolist()
        ids = {("image", k) for k in truth.imgs} | {("annotation", k) for k in truth.anns}
        assert not seen & ids
        seen |= ids
    capsys.readouterr()


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_coco_ground_truth_scores_perfectly_against_itself(tmp_path, cache, kind, capsys):
    export_coco(tmp_path / "out", SMALL, cache)
    truth = COCO(str(tmp_path / "out" / "annotations" / "instances_val2017.json"))
    results = [
        {
            "image_id": annotation["image_id"],
            "category_id": annotation["category_id"],
            "bbox": annotation["bbox"],
            "segmentation": truth.annToRLE(annotation),  # type: ignore[call-overload]
            "score": 1.0,
        }
        for annotation in truth.anns.values()
    ]
    if kind == "segm":
        for result in results:
            del result["bbox"]
    evaluation = COCOeval(truth, truth.loadRes(results), kind)  # type: ignore[arg-type]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 1.0
    capsys.readouterr()


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    masks = [rng.random((5, 7)) < share for share in (0.0, 0.2, 0.5, 0.9, 1.1)]
    for mask in masks:
        ours: Any = run_lengths(mask)
        rle: Any = coco_mask.frPyObjects(ours, *ours["size"])
        assert rle["counts"] == coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]


def test_ade20k_reads_back_with_pillow(tmp_path, cache):
    export_ade20k(tmp_path / "out", SMALL, cache)
    folders: tuple[tuple[Split, str], ...] = (("train", "training"), ("val", "validation"))
    for split, folder in folders:
        scenes = load_multi_scenes(split, SMALL, cache)
        images = sorted((tmp_path / "out" / "images" / folder).iterdir())
        labels = sorted((tmp_path / "out" / "annotations" / folder).iterdir())
        assert [file.stem for file in images] == [file.stem for file in labels]
        assert {file.suffix for file in images} == {".jpg"}
        assert {file.suffix for file in labels} == {".png"}
        assert len(images) == len(scenes)
        for k, (image, label) in enumerate(zip(images, labels, strict=True)):
            with Image.open(label) as stored:
                assert stored.mode == "L"
                np.testing.assert_array_equal(np.asarray(stored), scenes.semantic_map(k))
            with Image.open(image) as stored:
                assert np.abs(np.asarray(stored).astype(int) - scenes.images[k]).mean() < 4


EXPORTERS = [export_imagenet, export_coco, export_ade20k]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_existing_content_is_never_touched(tmp_path, cache, exporter):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="full is not empty"):
        exporter(tmp_path / "full", SMALL, cache)
    with pytest.raises(UsageError, match=r"thesis\.tex is a file"):
        exporter(tmp_path / "full" / "thesis.tex", SMALL, cache)
    assert [file.name for file in tmp_path.rglob("*")] == ["full", "thesis.tex"]


def test_empty_folder_is_used_and_parents_are_made(tmp_path, cache):
    (tmp_path / "empty").mkdir()
    export_ade20k(tmp_path / "empty", SMALL, cache)
    export_ade20k(str(tmp_path / "new" / "deep"), SMALL, cache)
    assert (tmp_path / "empty" / "images" / "training").is_dir()
    assert (tmp_path / "new" / "deep" / "images" / "training").is_dir()


def test_interrupted_export_leaves_nothing(tmp_path, cache, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "run_lengths", stop)
    with pytest.raises(KeyboardInterrupt):
        export_coco(tmp_path / "out", SMALL, cache)
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_made_is_named(tmp_path, cache):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        export_coco(tmp_path / "file" / "out", SMALL, cache)
