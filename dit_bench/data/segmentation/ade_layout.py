"""Where the files of SceneParse150, the benchmark cut from ADE20K, lie; and what else people have under that name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.folders import SplitFolders, pair_folders, require_folders, scan
from dit_bench.errors import DataError

FOLDER = "ADEChallengeData2016"
LAYOUT = (
    "ROOT/images/{training,validation}/*.jpg and ROOT/annotations/{training,validation}/*.png,"
    f" ROOT being {FOLDER} or the folder that holds it"
)
SOURCE = f"SceneParse150 is given out by sceneparsing.csail.mit.edu as {FOLDER}.zip; nothing is downloaded here"
EXPECTED = f"expected {LAYOUT}; {SOURCE}"
LABEL_SUFFIX = ".png"
SIDE_FILES = ("_atr.txt", ".json")
"""What the full release has beside each picture."""


def find_root(root: Path) -> Path:
    """Return the folder that holds `images` and `annotations`: `root`, or `ADEChallengeData2016` in it.

    Raises:
        DataError: there is no such folder, there are two, or it is the full ADE20K.
    """
    if not root.is_dir():
        raise DataError(f"data set folder {root} does not exist", remedy=EXPECTED)
    candidates = (root, root / FOLDER)
    found = [folder for folder in candidates if any((folder / part).is_dir() for part in ("images", "annotations"))]
    if len(found) > 1:
        raise DataError(
            f"{root} holds a data set itself and another one in {FOLDER}",
            remedy=f"pass the one you mean: move {FOLDER} elsewhere, or set data.root={root / FOLDER}",
        )
    _refuse_full_release(found[0] if found else root)
    if not found:
        raise DataError(f"{root} holds neither images nor annotations", remedy=EXPECTED)
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
    require_folders((images, labels), EXPECTED)
    for folder in (images, labels):
        if _marks_of_full_release(scan(folder).files):
            raise _full_release(folder)
    return pair_folders(images, labels, LABEL_SUFFIX, EXPECTED)


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
