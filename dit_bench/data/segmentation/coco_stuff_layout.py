"""Where the files of COCO-Stuff-10K v1.1 lie, as given out and as mmsegmentation converts them; what is not it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from dit_bench.data.imagenet import IMAGE_SUFFIXES
from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.folders import SplitFolders, by_stem, pair_folders, pair_listed, require_folders, scan
from dit_bench.data.segmentation.lists import read_split
from dit_bench.data.segmentation.mat_files import Shapes
from dit_bench.errors import DataError

Form = Literal["official", "converted"]

PARTS = ("train2014", "test2014")
"""Folders that mmsegmentation's converter makes in `images` and in `annotations`."""
CONVERTED_SUFFIX = "_labelTrainIds.png"
LIST_FOLDERS = ("imageLists", "imagesLists")
"""As given out, and as mmsegmentation's documentation misspells it."""
LAYOUT = (
    "ROOT/images/*.jpg, ROOT/annotations/*.mat and ROOT/imageLists/{train,test}.txt as given out, or"
    f" ROOT/images/{{train2014,test2014}}/*.jpg and ROOT/annotations/{{train2014,test2014}}/*{CONVERTED_SUFFIX} as"
    " mmsegmentation converts them"
)
SOURCE = "COCO-Stuff-10K is given out by github.com/nightrome/cocostuff10k (version 1.1); nothing is downloaded here"
EXPECTED = f"expected {LAYOUT}; {SOURCE}"
PARTS_OF_164K = ("train2017", "val2017", "stuffthingmaps")
NAMES_V10, NAMES_V11 = 172, 182
"""How many classes a .mat file of each version names."""


def find_form(root: Path) -> Form:
    """Return whether a folder holds the data set as given out or as mmsegmentation converts it.

    The converter leaves what it read where it was, so that both forms of the same pictures pass for the converted one.

    Raises:
        DataError: there is neither, the two are mixed, or it is the release of 164,000 pictures.
    """
    if not root.is_dir():
        raise DataError(f"data set folder {root} does not exist", remedy=EXPECTED)
    images, annotations = root / "images", root / "annotations"
    for folder in (root, images, annotations):
        strangers = [part for part in PARTS_OF_164K if (folder / part).is_dir()]
        if strangers:
            raise DataError(
                f"{folder / strangers[0]}: {root} is COCO-Stuff's release of 164,000 pictures, whose ids count from 0"
                " and have 255 for unlabelled",
                remedy=f"the papers use COCO-Stuff-10K version 1.1: {EXPECTED}",
            )
    require_folders((images, annotations), EXPECTED)
    given = by_stem(scan(images), IMAGE_SUFFIXES), by_stem(scan(annotations), (".mat",))
    if not any((folder / part).is_dir() for folder in (images, annotations) for part in PARTS):
        if not any(given):
            raise DataError(f"{root} holds neither label maps (.mat) nor converted label images", remedy=EXPECTED)
        return "official"
    converted = _in_parts(images, IMAGE_SUFFIXES), _in_parts(annotations, (CONVERTED_SUFFIX,))
    if any(left and set(left) != made for left, made in zip(given, converted, strict=True)):
        raise DataError(
            f"{root} mixes pictures and label maps as given out ({len(given[0])} and {len(given[1])}) with converted"
            f" ones of other pictures ({len(converted[0])} and {len(converted[1])})",
            remedy=f"convert anew, or keep one of the two: {EXPECTED}",
        )
    return "converted"


def list_split(root: Path, form: Form, split: Split) -> tuple[SplitFolders, Path]:
    """Return the pictures of a split with their labels, and what names them; no picture is opened.

    The test pictures are the val split; the tune split is part of training.

    Raises:
        DataError: a folder or a list is missing or not sound, a picture has no labels or the other way round, or a
            converted folder holds other pictures than its list.
    """
    part, other = ("test", "train") if split == "val" else ("train", "test")
    folder = next((root / name for name in LIST_FOLDERS if (root / name).is_dir()), root / LIST_FOLDERS[0])
    path = folder / f"{part}.txt"
    by_list = read_split(path, folder / f"{other}.txt") if path.is_file() else None
    if form == "converted":
        folders = pair_folders(
            root / "images" / f"{part}2014", root / "annotations" / f"{part}2014", CONVERTED_SUFFIX, EXPECTED
        )
        if by_list is not None:
            _check_against_list(folders, path, by_list.names)
        left = len(scan(root / "images").files) + len(scan(root / "annotations").files)
        return replace(folders, other_files=folders.other_files + left), folders.images
    if by_list is None:
        raise DataError(f"{path} does not exist, so nothing says which pictures are for what", remedy=EXPECTED)
    images, annotations = scan(root / "images"), scan(root / "annotations")
    pictures, labels = by_stem(images, IMAGE_SUFFIXES), by_stem(annotations, (".mat",))
    pairs = pair_listed(by_list.names, path, (images.folder, pictures), (annotations.folder, labels))
    folders = SplitFolders(
        images.folder,
        annotations.folder,
        pairs,
        other_files=len(images.files) + len(annotations.files) - len(pictures) - len(labels),
        unlisted_files=len(set(pictures) - by_list.listed) + len(set(labels) - by_list.listed),
    )
    return folders, path


def check_version(path: Path, shapes: Shapes) -> None:
    """Check that a .mat file is of version 1.1, which names 182 classes; files without names pass.

    Raises:
        DataError: it is of version 1.0, which names 172, or of something else.
    """
    shape = shapes.get("names")
    count = None if shape is None else shape[0] * shape[1] if len(shape) == 2 else 0
    if count in (None, NAMES_V11):
        return
    version = "is of COCO-Stuff-10K version 1.0, which" if count == NAMES_V10 else "is not of COCO-Stuff-10K: it"
    raise DataError(
        f"label map {path} {version} names {count} classes instead of {NAMES_V11}",
        remedy=f"use version 1.1; in 1.0 the ids are others (1 unlabelled, 2 … 172). {SOURCE}",
    )


def _in_parts(folder: Path, suffixes: tuple[str, ...]) -> set[str]:
    return {stem for part in PARTS if (folder / part).is_dir() for stem in by_stem(scan(folder / part), suffixes)}


def _check_against_list(folders: SplitFolders, path: Path, names: tuple[str, ...]) -> None:
    held = {Path(pair.image).stem for pair in folders.pairs}
    if held != set(names):
        raise DataError(
            f"{folders.images} holds {len(held)} pictures, {path} names {len(names)} (first that only one of them"
            f" has: {min(held ^ set(names))})",
            remedy="convert anew, or correct the list",
        )
