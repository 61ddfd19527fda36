"""Where the files of Pascal Context lie, in each of the three forms that people have it in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dit_bench.data.imagenet import IMAGE_SUFFIXES
from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.detail_labels import DetailAnnotations
from dit_bench.data.segmentation.folders import SplitFolders, by_stem, pair_listed, scan
from dit_bench.data.segmentation.lists import SplitNames, read_split
from dit_bench.errors import DataError

Form = Literal["label_images", "detail", "original"]

VOC = "VOC2010"
LABEL_IMAGES, DETAIL, ORIGINAL = "SegmentationClassContext", "trainval_merged.json", "trainval"
LAYOUT = (
    f"ROOT/{VOC}/JPEGImages/*.jpg with one of ROOT/{VOC}/{LABEL_IMAGES}/*.png (mmsegmentation's),"
    f" ROOT/{VOC}/{DETAIL} (PASCAL in Detail's) and ROOT/{ORIGINAL}/*.mat (the release's own), and lists"
    f" ROOT/{VOC}/ImageSets/SegmentationContext/{{train,val}}.txt, ROOT being VOCdevkit or the folder that holds it"
)
SOURCE = (
    "pictures are given out by host.robots.ox.ac.uk (VOC2010), labels by cs.stanford.edu/~roozbeh/pascal-context;"
    " nothing is downloaded here"
)
EXPECTED = f"expected {LAYOUT}; {SOURCE}"
SUFFIXES: dict[Form, str] = {"label_images": ".png", "detail": ".json", "original": ".mat"}


@dataclass(frozen=True)
class PascalContextFiles:
    """What was found."""

    voc: Path
    """The folder VOC2010, with `JPEGImages` and `ImageSets`."""
    form: Form
    labels: Path
    """The folder of label images or .mat files, or the file of masks."""


def find_files(root: Path) -> PascalContextFiles:
    """Return where pictures and labels lie; `root` may be VOC2010, VOCdevkit, or the folder that holds VOCdevkit.

    Label images count before the file of masks, from which mmsegmentation's converter makes them.

    Raises:
        DataError: pictures or labels are missing, or are there twice, or in forms that do not belong together.
    """
    if not root.is_dir():
        raise DataError(f"data set folder {root} does not exist", remedy=EXPECTED)
    candidates = (root, root / VOC, root / "VOCdevkit" / VOC)
    found = [folder for folder in candidates if (folder / "JPEGImages").is_dir()]
    if not found:
        raise DataError(f"{root} holds no {VOC} with JPEGImages", remedy=EXPECTED)
    voc = _the_only(found, root)
    places = [folder for folder in (voc, *voc.parents) if folder == root or root in folder.parents]
    forms: dict[Form, list[Path]] = {
        "label_images": [folder for folder in [voc / LABEL_IMAGES] if folder.is_dir()],
        "detail": [path for path in (folder / DETAIL for folder in places) if path.is_file()],
        "original": [path for path in (folder / ORIGINAL for folder in places) if path.is_dir()],
    }
    if forms["label_images"]:
        forms["detail"] = []
    present: list[Form] = [form for form in SUFFIXES if forms[form]]
    if not present:
        raise DataError(f"{root} holds no labels of Pascal Context", remedy=EXPECTED)
    if len(present) > 1:
        paths = " and ".join(str(forms[form][0]) for form in present)
        raise DataError(
            f"{root} has labels in forms that do not belong together: {paths}", remedy="keep one, move the other away"
        )
    return PascalContextFiles(voc, present[0], _the_only(forms[present[0]], root))


def read_names(files: PascalContextFiles, split: Split) -> tuple[SplitNames, Path] | None:
    """Return the pictures of a split and the list that names them; None where only the file of masks can tell.

    The tune split is part of training and has no list of its own. The release's own labels, which come without
    lists, are taken with VOC's lists for classification where there are no others: 4,998 and 5,105 pictures, against
    4,996 and 5,104 in mmsegmentation's lists.

    Raises:
        DataError: there is no list, only that of the other split, or one that is not sound.
    """
    part, other = ("val", "train") if split == "val" else ("train", "val")
    sets = files.voc / "ImageSets"
    folders = [sets / "SegmentationContext", *([sets / "Main"] if files.form == "original" else [])]
    for folder in folders:
        path, counterpart = folder / f"{part}.txt", folder / f"{other}.txt"
        if path.is_file():
            return read_split(path, counterpart), path
        if counterpart.is_file():
            raise DataError(f"{path} does not exist, though {counterpart} does", remedy="restore both lists")
    if files.form == "detail":
        return None
    needed = " or ".join(str(folder / f"{part}.txt") for folder in folders)
    raise DataError(f"{needed} does not exist, so nothing says which pictures are for what", remedy=EXPECTED)


def list_split(files: PascalContextFiles, split: Split, detail: DetailAnnotations | None) -> tuple[SplitFolders, Path]:
    """Return the pictures of a split with their labels, and what names them; no picture is opened.

    Raises:
        DataError: there is no sound list, or a picture that it names or its labels are missing.
    """
    by_list = read_names(files, split)
    if by_list is not None:
        (names, listed), place = (by_list[0].names, by_list[0].listed), by_list[1]
    else:
        assert detail is not None
        names = detail.names_of_phase("val" if split == "val" else "train")
        listed = {name for name, number in detail.images.items() if detail.phases[number] in ("train", "val")}
        place = files.labels
    images = scan(files.voc / "JPEGImages")
    pictures = by_stem(images, IMAGE_SUFFIXES)
    other_files, unlisted = len(images.files) - len(pictures), len(set(pictures) - listed)
    if detail is not None:
        labels = dict.fromkeys(detail.images, files.labels.name)
    else:
        listing, suffix = scan(files.labels), SUFFIXES[files.form]
        labels = by_stem(listing, (suffix,))
        if not labels:
            raise DataError(f"{files.labels} holds no {suffix} file", remedy=EXPECTED)
        other_files += len(listing.files) - len(labels)
        unlisted += len(set(labels) - listed)
    pairs = pair_listed(names, place, (images.folder, pictures), (files.labels, labels))
    folder = files.labels.parent if files.form == "detail" else files.labels
    return SplitFolders(images.folder, folder, pairs, other_files, unlisted), place


def _the_only(paths: list[Path], root: Path) -> Path:
    if len(paths) > 1:
        raise DataError(
            f"{root} holds both {paths[0]} and {paths[1]}", remedy="keep one, or set data.root to the folder you mean"
        )
    return paths[0]
