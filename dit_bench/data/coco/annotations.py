"""A strict reader of COCO's `instances_*.json`: everything is checked once, then kept as arrays."""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dit_bench.data.coco.segmentations import SegmentationTable, SegmentationTableBuilder
from dit_bench.errors import DataError

Entry = dict[str, Any]


@dataclass(frozen=True)
class CocoAnnotations:
    """The images and objects of one annotation file.

    Images and categories are sorted by id; a label is a category's place. The m objects are sorted by image, then by
    id: image k has the objects `first_object[k]` to `first_object[k + 1] − 1`.

    Attributes:
        path: the file.
        sha256: of its content.
        category_ids: ascending; gaps are normal.
        category_names: in the same order.
        image_ids: int64 (n,), ascending.
        file_names: of the n images, relative to their folder.
        sizes: int64 (n, 2), height and width.
        first_object: int64 (n + 1,).
        object_ids: int64 (m,).
        labels: int64 (m,).
        boxes: float64 (m, 4) as in the file: x, y, width, height in pixels, neither clipped nor selected.
        areas: float64 (m,), pixels of the mask.
        is_crowd: bool (m,).
        is_ignored: bool (m,), objects marked `ignore`, which COCO 2017 itself does not have.
        segmentations: of the m objects.
    """

    path: Path
    sha256: str
    category_ids: tuple[int, ...]
    category_names: tuple[str, ...]
    image_ids: np.ndarray
    file_names: tuple[str, ...]
    sizes: np.ndarray
    first_object: np.ndarray
    object_ids: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    segmentations: SegmentationTable

    @property
    def image_of_object(self) -> np.ndarray:
        """Number of the image of each object, int64 (m,)."""
        return np.repeat(np.arange(len(self.image_ids)), np.diff(self.first_object))


class _Problem(Exception):
    """What is wrong in the file; becomes a DataError that names it."""


def read_annotations(path: Path) -> CocoAnnotations:
    """Read and check an annotation file.

    Raises:
        DataError: the file is missing or no JSON, a key is missing or of the wrong type, an id stands twice, an
            annotation names an unknown image or category, a box or a coordinate is not finite, a mask is of another
            size than its image. One line names the file and the entry.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read annotations {path}: {error.strerror or error}") from error
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is no valid JSON: {reason}", remedy="restore the file") from error
    sha256 = hashlib.sha256(raw).hexdigest()
    del raw
    try:
        return _checked(content, path, sha256)
    except _Problem as problem:
        raise DataError(f"{path}: {problem}", remedy="correct or restore the file") from problem


def _checked(content: Any, path: Path, sha256: str) -> CocoAnnotations:
    if not isinstance(content, dict):
        raise _Problem(f"expected an object with images, annotations and categories, got {type(content).__name__}")
    categories = _entries(content, "categories", "category")
    category_names = tuple(_text(entry, "name", where) for where, entry in categories)
    category_ids = tuple(entry["id"] for _, entry in categories)

    images = _entries(content, "images", "image")
    if not images:
        raise _Problem("images is empty")
    file_names = tuple(_file_name(entry, where) for where, entry in images)
    sizes = [(_positive(entry, "height", where), _positive(entry, "width", where)) for where, entry in images]
    image_ids = [entry["id"] for _, entry in images]

    objects = _entries(content, "annotations", "annotation")
    numbers = {image_id: number for number, image_id in enumerate(image_ids)}
    for where, entry in objects:
        if _integer(entry, "image_id", where) not in numbers:
            raise _Problem(f"{where} belongs to image {entry['image_id']}, which images does not list")
    objects.sort(key=lambda pair: numbers[pair[1]["image_id"]])
    image_of_object = np.array([numbers[entry["image_id"]] for _, entry in objects], np.int64)

    return CocoAnnotations(
        path=path,
        sha256=sha256,
        category_ids=category_ids,
        category_names=category_names,
        image_ids=np.array(image_ids, np.int64),
        file_names=file_names,
        sizes=np.array(sizes, np.int64),
        first_object=np.searchsorted(image_of_object, np.arange(len(images) + 1)),
        object_ids=np.array([entry["id"] for _, entry in objects], np.int64),
        labels=np.array(list(_labels(objects, category_ids)), np.int64),
        boxes=np.array([_box(entry, where) for where, entry in objects], np.float64).reshape(-1, 4),
        areas=np.array([_number(entry, "area", where) for where, entry in objects], np.float64),
        is_crowd=np.array([_flag(entry, "iscrowd", where) for where, entry in objects], bool),
        is_ignored=np.array([bool(entry.get("ignore")) for _, entry in objects], bool),
        segmentations=_segmentations(objects, [sizes[number] for number in image_of_object]),
    )


def _labels(objects: list[tuple[str, Entry]], category_ids: tuple[int, ...]) -> Iterator[int]:
    label_of = {category_id: label for label, category_id in enumerate(category_ids)}
    for where, entry in objects:
        label = label_of.get(_integer(entry, "category_id", where))
        if label is None:
            raise _Problem(f"{where} has category {entry['category_id']}, which categories does not list")
        yield label


def _segmentations(objects: list[tuple[str, Entry]], sizes: list[tuple[int, int]]) -> SegmentationTable:
    builder = SegmentationTableBuilder()
    for (where, entry), size in zip(objects, sizes, strict=True):
        try:
            builder.add(entry.get("segmentation"), size)
        except ValueError as error:
            raise _Problem(f"{where}: {error}") from error
    return builder.finish()


def _entries(content: Entry, key: str, name: str) -> list[tuple[str, Entry]]:
    """The entries of a list, sorted by their id, each with how to call it in messages."""
    listed = content.get(key)
    if not isinstance(listed, list):
        raise _Problem(f"{key!r} is missing" if key not in content else f"{key!r} must be a list")
    entries: dict[int, Entry] = {}
    for place, entry in enumerate(listed):
        if not isinstance(entry, dict):
            raise _Problem(f"{key}[{place}] must be an object, got {reprlib.repr(entry)}")
        number = _integer(entry, "id", f"{key}[{place}]")
        if number in entries:
            raise _Problem(f"{name} id {number} stands twice")
        entries[number] = entry
    return [(f"{name} {number}", entries[number]) for number in sorted(entries)]


def _value(entry: Entry, key: str, where: str) -> Any:
    if key not in entry:
        raise _Problem(f"{where} lacks the key {key!r}")
    return entry[key]


def _integer(entry: Entry, key: str, where: str) -> int:
    value = _value(entry, key, where)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _Problem(f"{where}: {key} must be a whole number, got {reprlib.repr(value)}")
    return value


def _positive(entry: Entry, key: str, where: str) -> int:
    value = _integer(entry, key, where)
    if value <= 0:
        raise _Problem(f"{where}: {key} must be positive, got {value}")
    return value


def _flag(entry: Entry, key: str, where: str) -> bool:
    value = _value(entry, key, where)
    if value not in (0, 1):
        raise _Problem(f"{where}: {key} must be 0 or 1, got {reprlib.repr(value)}")
    return bool(value)


def _text(entry: Entry, key: str, where: str) -> str:
    value = _value(entry, key, where)
    if not isinstance(value, str) or not value:
        raise _Problem(f"{where}: {key} must be text, got {reprlib.repr(value)}")
    return value


def _file_name(entry: Entry, where: str) -> str:
    name = _text(entry, "file_name", where)
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\0" in name:
        raise _Problem(f"{where}: file_name must lie inside the image folder, got {reprlib.repr(name)}")
    return name


def _is_finite(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def _number(entry: Entry, key: str, where: str) -> float:
    value = _value(entry, key, where)
    if not _is_finite(value):
        raise _Problem(f"{where}: {key} must be a finite number, got {reprlib.repr(value)}")
    return value


def _box(entry: Entry, where: str) -> list[float]:
    box = _value(entry, "bbox", where)
    if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(value) for value in box):
        raise _Problem(f"{where}: bbox must be four finite numbers x, y, width, height, got {reprlib.repr(box)}")
    return box
