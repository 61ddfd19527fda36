"""Digit scenes written out in the layouts of ImageNet, COCO 2017 and ADE20K, so that the real loaders can read them.

Each exporter writes into a new folder beside its target and renames it at the end: a target is complete or absent.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dit_bench.data.scenes.multi_scene_set import MultiSceneSet, load_multi_scenes
from dit_bench.data.scenes.scene_set import load_scenes
from dit_bench.data.scenes.sources import CLASS_NAMES, Split
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import DataSettings

JPEG_QUALITY = 95
"""COCO and ADE20K readers expect `.jpg`; with full colour resolution this is close to lossless."""


def _save_jpeg(image: np.ndarray, path: Path) -> None:
    Image.fromarray(image).save(path, quality=JPEG_QUALITY, subsampling=0)


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write into; it becomes `path` when the block ends well, and vanishes otherwise."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        kind = "is not empty" if path.is_dir() else "is a file"
        raise UsageError(f"{path} {kind}", remedy="name a new or empty folder; nothing is overwritten")
    aside = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
    except OSError as error:
        raise UsageError(f"cannot create {path}: {error.strerror}", remedy="name a folder you may write to") from error
    try:
        yield aside
        if path.exists():
            path.rmdir()  # empty, as checked; some platforms refuse to rename onto it
        os.rename(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def export_imagenet(path: str | Path, settings: DataSettings, cache_dir: Path | None = None) -> None:
    """Write single-digit scenes as `{train,tune,val}/digit_K/NAME.png`; lossless, sorted folder order = class index.

    Raises:
        UsageError: the target exists and is not an empty folder, or cannot be created.
    """
    splits: tuple[Split, ...] = ("train", "tune", "val")
    with _new_folder(Path(path)) as root:
        for split in splits:
            scenes = load_scenes(split, settings, cache_dir)
            for name in scenes.class_names:
                (root / split / name).mkdir(parents=True)
            for k, (image, label) in enumerate(zip(scenes.images, scenes.labels, strict=True)):
                folder = root / split / scenes.class_names[label]
                Image.fromarray(image).save(folder / f"scene_{split}_{k + 1:08d}.png")


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask (H, W) as COCO's uncompressed RLE: lengths of runs down the columns, beginning with zeros."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if flat[0] else lengths}


def _coco_annotations(scenes: MultiSceneSet, first_image: int, first_annotation: int) -> dict[str, Any]:
    """Content of an `instances_*.json`; image ids run from `first_image` on, annotation ids likewise."""
    images, annotations = [], []
    for k in range(len(scenes)):
        image_id, (height, width) = first_image + k, scenes.images[k].shape[:2]
        images.append(
            {"id": image_id, "file_name": f"{image_id:012d}.jpg", "height": height, "width": width, "license": 1}
        )
        instances = scenes.instances(k)
        for label, box, mask in zip(instances.classes, instances.boxes, instances.masks, strict=True):
            annotation = {
                "id": first_annotation + len(annotations),
                "image_id": image_id,
                "category_id": int(label) + 1,
                "bbox": box.tolist(),
                "area": float(mask.sum()),
                "segmentation": run_lengths(mask),
                "iscrowd": 0,
            }
            annotations.append(annotation)
    return {
        "info": {"description": "digit scenes of dit-bench", "version": "1.0"},
        "licenses": [{"id": 1, "name": "as the pictures bundled with scikit-learn", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": label + 1, "name": name, "supercategory": "digit"} for label, name in enumerate(CLASS_NAMES)
        ],
    }


def export_coco(path: str | Path, settings: DataSettings, cache_dir: Path | None = None) -> None:
    """Write several-digit scenes as COCO 2017: `{train,val}2017/*.jpg`, `annotations/instances_{train,val}2017.json`.

    Category ids are 1 … 10 for the digits 0 … 9. Masks are uncompressed RLE, exact to the pixel; ids are unique over
    both splits.

    Raises:
        UsageError: the target exists and is not an empty folder, or cannot be created.
    """
    splits: tuple[Split, ...] = ("train", "val")
    first_image, first_annotation = 1, 1
    with _new_folder(Path(path)) as root:
        (root / "annotations").mkdir()
        for split in splits:
            scenes = load_multi_scenes(split, settings, cache_dir)
            content = _coco_annotations(scenes, first_image, first_annotation)
            folder = root / f"{split}2017"
            folder.mkdir()
            for entry, image in zip(content["images"], scenes.images, strict=True):
                _save_jpeg(image, folder / entry["file_name"])
            (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content), encoding="utf-8")
            first_image += len(content["images"])
            first_annotation += len(content["annotations"])


def export_ade20k(path: str | Path, settings: DataSettings, cache_dir: Path | None = None) -> None:
    """Write several-digit scenes as ADE20K: `images/{training,validation}/*.jpg`, `annotations/…/*.png`.

    Labels are one byte per pixel: 0 for background (ADE20K's "other"), 1 … 10 for the digits 0 … 9.

    Raises:
        UsageError: the target exists and is not an empty folder, or cannot be created.
    """
    splits: tuple[tuple[Split, str], ...] = (("train", "training"), ("val", "validation"))
    with _new_folder(Path(path)) as root:
        for split, folder in splits:
            scenes = load_multi_scenes(split, settings, cache_dir)
            for kind in ("images", "annotations"):
                (root / kind / folder).mkdir(parents=True)
            for k, image in enumerate(scenes.images):
                stem = f"ADE_{split}_{k + 1:08d}"
                _save_jpeg(image, root / "images" / folder / f"{stem}.jpg")
                Image.fromarray(scenes.semantic_map(k)).save(root / "annotations" / folder / f"{stem}.png")
