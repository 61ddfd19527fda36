"""Where the files of SceneParse150, the benchmark cut from ADE20K, lie; and what else people have under that name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dit_bench.data.imagenet import IMAGE_SUFFIXES
from dit_bench.data.scenes.sources import Split
from dit_bench.errors import DataError

FOLDER = "ADEChallengeData2016"
LAYOUT = (
    "ROOT/images/{training,validation}/*.jpg and ROOT/annotations/{training,validation}/*.png,"
    f" ROOT being {FOLDER} or the folder that holds it"
)
SOURCE = f"SceneParse150 is given out by sceneparsing.csail.mit.edu as {FOLDER}.zip; nothing is downloaded here"
LABEL_SUFFIX = ".png"
SIDE_FILES = ("_atr.txt", ".json")
"""What the full release has beside each picture."""


@dataclass(frozen=True)
class Pair:
    """A picture and its label image, by their file names."""

    image: str
    labels: str


@dataclass(frozen=True)
class SplitFolders:
    """What lies in a split."""

    images: Path
    labels: Path
    pairs: tuple[Pair, ...]
    """Sorted by name."""
    other_files: int


def find_root(root: Path) -> Path:
    """Return the folder that holds `images` and `annotations`: `root`, or `ADEChallengeData2016` in it.

    Raises:
        DataError: there is no such folder, there are two, or it is the full ADE20K.
    """
    if not root.is_dir():
        raise DataError(f"data set folder {root} does not exist", remedy=f"expected {LAYOUT}; {SOURCE}")
    candidates = (root, root / FOLDER)
    found = [folder for folder in candidates if any((folder / part).is_dir() for part in ("images", "annotations"))]
    if len(found) > 1:
        raise DataError(
            f"{root} holds a data set itself and another one in {FOLDER}",
            remedy=f"pass the one you mean: move {FOLDER} elsewhere, or set data.root={root / FOLDER}",
        )
    _refuse_full_release(found[0] if found else root)
    if not found:
        raise DataError(f"{root} holds neither images nor annotations", remedy=f"expected {LAYOUT}; {SOURCE}")
    return found[0]


def list_split(root: Path, split: Split) -> SplitFolders:
    """Return the pictures of a split with their label images; no file is opened.

    The tune split is part of training and has no folder of its own.

    Raises:
        DataError: a folder is missing, empty, or holds folders; a picture has no label image or two pictures share
            one; a label image has no picture.
    """
    part = "validation" if split == "val" else "training"
    images, labels = root / "images" / part, root / "annotations" / part
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataError(f"{folder} does not exist", remedy=f"expected {LAYOUT}; {SOURCE}")
    pictures, others = _files(images, IMAGE_SUFFIXES)
    label_images, other_labels = _files(labels, (LABEL_SUFFIX,))
    lossy = [name for name in other_labels if name.lower().endswith(IMAGE_SUFFIXES)]
    if lossy:
        raise DataError(
            f"{labels / lossy[0]} is no {LABEL_SUFFIX} file", remedy="label images are PNGs; JPEG blurs numbers"
        )
    by_stem: dict[str, str] = {}
    for name in pictures:
        stem = Path(name).stem
        if stem in by_stem:
            raise DataError(
                f"{images} holds both {by_stem[stem]} and {name}", remedy="keep one: they would share a label image"
            )
        by_stem[stem] = name
    label_stems = {Path(name).stem: name for name in label_images}
    _check_pairs(images, labels, by_stem, label_stems)
    pairs = tuple(Pair(by_stem[stem], label_stems[stem]) for stem in sorted(by_stem))
    return SplitFolders(images, labels, pairs, len(others) + len(other_labels))


def _check_pairs(images: Path, labels: Path, pictures: dict[str, str], label_images: dict[str, str]) -> None:
    bare = sorted(set(pictures) - set(label_images))
    if bare:
        raise DataError(
            f"image {images / pictures[bare[0]]} has no label image {labels / (bare[0] + LABEL_SUFFIX)}"
            f" ({len(bare)} of {len(pictures)} images have none)",
            remedy="restore the label images, or remove the images",
        )
    lost = sorted(set(label_images) - set(pictures))
    if lost:
        raise DataError(
            f"label image {labels / label_images[lost[0]]} has no image in {images}"
            f" ({len(lost)} of {len(label_images)} have none)",
            remedy="restore the images, or remove the label images",
        )


def _files(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Names of the files with one of the suffixes, sorted, and of the others; hidden ones are neither."""
    with os.scandir(folder) as entries:
        listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    names = [entry.name for entry in listed if not entry.is_dir()]
    deeper = [entry.name for entry in listed if entry.is_dir()]
    if _marks_of_full_release(names):
        raise _full_release(folder)
    if deeper:
        raise DataError(
            f"{folder} holds folders (first: {deeper[0]}) where files are expected", remedy=f"expected {LAYOUT}"
        )
    chosen = [name for name in names if name.lower().endswith(suffixes)]
    if not chosen:
        raise DataError(f"{folder} holds no {' or '.join(suffixes)} file", remedy=f"expected {LAYOUT}; {SOURCE}")
    return chosen, [name for name in names if not name.lower().endswith(suffixes)]


def _refuse_full_release(root: Path) -> None:
    """Raise DataError for the full ADE20K of 2016 or 2021, before anything else seems to be missing."""
    if (root / "images" / "ADE").is_dir() or any(root.glob("index_ade20k.*")) or any(root.glob("ADE20K_20*")):
        raise _full_release(root)
    # Pictures lie below their scenes: training/a/abbey/*.jpg in 2016, training/cultural/abbey/*.jpg in 2021.
    for split in (root / "images" / "training", root / "images" / "validation"):
        scene = next((below for below in split.glob("*/*") if below.is_dir()), None)
        if scene is not None and _marks_of_full_release(below.name for below in scene.iterdir()):
            raise _full_release(root)


def _marks_of_full_release(names: Iterable[str]) -> bool:
    """Whether there is a file that only the full release has beside its pictures."""
    return any(name.endswith("_seg.png") or (name.startswith("ADE_") and name.endswith(SIDE_FILES)) for name in names)


def _full_release(folder: Path) -> DataError:
    return DataError(
        f"{folder} is the full ADE20K (*_seg.png, *.json, a folder for each scene), with thousands of classes",
        remedy=f"the papers use its benchmark of 150 classes: expected {LAYOUT}; {SOURCE}",
    )
