"""Folders of pictures and of their label maps: what lies in them, and which file belongs to which."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dit_bench.data.imagenet import IMAGE_SUFFIXES
from dit_bench.errors import DataError


@dataclass(frozen=True)
class Pair:
    """A picture and the file of its labels, by their names."""

    image: str
    labels: str


@dataclass(frozen=True)
class SplitFolders:
    """What lies in a split."""

    images: Path
    labels: Path
    pairs: tuple[Pair, ...]
    """Sorted by name."""
    other_files: int = 0
    unlisted_files: int = 0


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, sorted; hidden entries are left out."""

    folder: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]


def scan(folder: Path) -> Listing:
    """Return what lies in a folder, without opening any of it."""
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    return Listing(
        folder,
        tuple(name for name, is_folder in listed if not is_folder),
        tuple(name for name, is_folder in listed if is_folder),
    )


def require_folders(folders: Iterable[Path], expected: str) -> None:
    """Check that folders exist.

    Raises:
        DataError: names the first that does not; `expected` is the remedy.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} does not exist", remedy=expected)


def by_stem(listing: Listing, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Return the names of the files with one of the suffixes by what stands before it; case does not count.

    Raises:
        DataError: two files differ in their suffixes alone.
    """
    found: dict[str, str] = {}
    for name in listing.files:
        suffix = next((suffix for suffix in suffixes if name.lower().endswith(suffix.lower())), None)
        if suffix is None:
            continue
        stem = name[: -len(suffix)]
        if stem in found:
            raise DataError(
                f"{listing.folder} holds both {found[stem]} and {name}", remedy="keep one: a picture has one label map"
            )
        found[stem] = name
    return found


def pair_folders(images: Path, labels: Path, label_suffix: str, expected: str) -> SplitFolders:
    """Return the pictures of a folder with the label images of another; no file is opened.

    Raises:
        DataError: a folder is missing, empty, or holds folders; a picture has no label image or two pictures share
            one; a label image has no picture.
    """
    require_folders((images, labels), expected)
    listings = scan(images), scan(labels)
    for listing in listings:
        if listing.folders:
            raise DataError(
                f"{listing.folder} holds folders (first: {listing.folders[0]}) where files are expected",
                remedy=expected,
            )
    lossy = [name for name in listings[1].files if name.lower().endswith(IMAGE_SUFFIXES) and not _is_png(name)]
    if lossy:
        raise DataError(f"{labels / lossy[0]} is no .png file", remedy="label images are PNGs; JPEG blurs numbers")
    pictures, label_images = by_stem(listings[0], IMAGE_SUFFIXES), by_stem(listings[1], (label_suffix,))
    for folder, found, suffixes in ((images, pictures, IMAGE_SUFFIXES), (labels, label_images, (label_suffix,))):
        if not found:
            raise DataError(f"{folder} holds no {' or '.join(suffixes)} file", remedy=expected)
    _check_pairs(images, labels, pictures, label_images, label_suffix)
    pairs = tuple(Pair(pictures[stem], label_images[stem]) for stem in sorted(pictures))
    used = len(pictures) + len(label_images)
    return SplitFolders(images, labels, pairs, other_files=sum(len(listing.files) for listing in listings) - used)


def pair_listed(
    names: Sequence[str],
    place: Path,
    images: tuple[Path, Mapping[str, str]],
    labels: tuple[Path, Mapping[str, str]],
) -> tuple[Pair, ...]:
    """Return the pictures that a list names with the files of their labels, in the order of the list.

    Args:
        names: of the pictures, without suffix.
        place: the file that names them, for messages.
        images: the folder of the pictures, and the names of its files by what stands before the suffix.
        labels: the same for the labels.

    Raises:
        DataError: a name has no picture or no labels.
    """
    for what, (folder, found) in (("picture", images), ("label map", labels)):
        lost = [name for name in names if name not in found]
        if lost:
            raise DataError(
                f"{place} names {lost[0]}, which has no {what} in {folder} ({len(lost)} of {len(names)} names have"
                " none)",
                remedy=f"restore the {what}s, or correct the list",
            )
    return tuple(Pair(images[1][name], labels[1][name]) for name in names)


def _is_png(name: str) -> bool:
    return name.lower().endswith(".png")


def _check_pairs(
    images: Path, labels: Path, pictures: dict[str, str], label_images: dict[str, str], label_suffix: str
) -> None:
    bare = sorted(set(pictures) - set(label_images))
    if bare:
        raise DataError(
            f"image {images / pictures[bare[0]]} has no label image {labels / (bare[0] + label_suffix)}"
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
