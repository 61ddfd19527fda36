"""Two finished runs set against each other: what was asked, from what they were made, what came out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from dit_bench.recipes.identity import canonical_json
from dit_bench.recipes.metrics import is_time
from dit_bench.runs.compare_dense import DetectionDiff, PixelDiff, compare_detections, compare_pixels
from dit_bench.runs.compare_images import ImageDiff, compare_images
from dit_bench.runs.confusion import CONFUSION_FILE, load_confusion
from dit_bench.runs.detections import DETECTIONS_FILE, load_detections
from dit_bench.runs.image_records import load_image_records
from dit_bench.runs.read import IMAGES_FILE, FinishedRun
from dit_bench.runs.record import RunRecord

Section = Literal["settings", "seed", "start", "data", "code", "packages", "weights", "metrics", "images"]
"""What may differ between runs and make them different; time and machine never do."""
SECTIONS: tuple[Section, ...] = get_args(Section)

_SECTION_OF: dict[str, Section] = {
    "starts_from": "start",
    **dict.fromkeys(("data_manifest_sha256", "evaluation_manifest_sha256"), "data"),
    **dict.fromkeys(("dit_bench_version", "git_commit", "git_dirty", "code_sha256"), "code"),
    **dict.fromkeys(("python", "packages", "plugins"), "packages"),
    "weights_sha256": "weights",
}
_MACHINE = ("platform", "processor", "accelerator", "device", "threads", "processes")
_TIME = ("created_utc", "argv")

Content = TypeVar("Content")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Change:
    """A value that is not the same in both runs."""

    section: Section | Literal["machine", "time"]
    key: str
    a: Any
    b: Any
    counts: bool
    """Whether it makes the runs different: not where it is a time, the machine's, or unknown of one of them."""

    @property
    def difference(self) -> float | None:
        """Second minus first, of numbers."""
        return self.b - self.a if self._numbers else None

    @property
    def relative(self) -> float | None:
        """The difference over the first, of numbers."""
        return (self.b - self.a) / abs(self.a) if self._numbers and self.a else None

    @property
    def _numbers(self) -> bool:
        return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (self.a, self.b))


@dataclass(frozen=True)
class RunDiff:
    """Everything in which two runs differ."""

    a: FinishedRun
    b: FinishedRun
    changes: tuple[Change, ...]
    images: ImageDiff | None
    """None where one run has no records of its images."""
    pixels: PixelDiff | None
    """Of segmentation."""
    detections: DetectionDiff | None
    """Of detection."""
    notes: tuple[str, ...]
    """What could not be compared, and why."""

    @property
    def sections(self) -> list[Section]:
        """In what the runs differ, time and machine apart."""
        counted = {change.section for change in self.changes if change.counts}
        if any(part is not None and part.differs for part in (self.images, self.pixels, self.detections)):
            counted.add("images")
        return [section for section in SECTIONS if section in counted]


def same_figures(ours: Mapping[str, float], theirs: Mapping[str, float]) -> bool:
    """Whether all figures but times agree to the last digits: one run is the other, executed again."""
    return all(is_time(change.key) for change in _changes("metrics", ours, theirs))


def compare_runs(a: FinishedRun, b: FinishedRun) -> RunDiff:
    """Compare two runs: records value by value, images by their number; raises DataError for damaged files."""
    notes: list[str] = []
    images = _both(a, b, IMAGES_FILE, load_image_records, compare_images, notes)
    pixels = _both(a, b, CONFUSION_FILE, load_confusion, compare_pixels, notes)
    detections = _both(a, b, DETECTIONS_FILE, load_detections, compare_detections, notes)
    changes = (*_asked(a.record, b.record), *_made(a.record, b.record, notes), *_figures(a.record, b.record))
    if any(change.section == "data" or change.key.startswith("data.") for change in changes if change.counts):
        notes.append("the data differ: images of the same number may be different ones")
    if images is not None and images.routes_changed is None:
        notes.append("the routing grids differ: routes are not compared")
    return RunDiff(a, b, changes, images, pixels, detections, tuple(notes))


def _asked(a: RunRecord, b: RunRecord) -> Iterator[Change]:
    ours, theirs = (json.loads(canonical_json(record.settings)) for record in (a, b))
    ours["task"], theirs["task"] = a.settings.task, b.settings.task
    yield from _changes("settings", ours, theirs)
    yield from _changes("seed", {"seed": a.seed}, {"seed": b.seed})


def _made(a: RunRecord, b: RunRecord, notes: list[str]) -> Iterator[Change]:
    ours, theirs = (record.provenance.model_dump(mode="json") for record in (a, b))
    code_known = None not in (ours["code_sha256"], theirs["code_sha256"])
    if ours["git_dirty"] and theirs["git_dirty"] and not code_known and a != b:
        notes.append("both checkouts had changes that no commit has: whether their code was the same is unknown")
    for key, section in _SECTION_OF.items():
        for change in _changes(section, {key: ours[key]}, {key: theirs[key]}):
            # The hash of the code itself tells more than commits do.
            told = key in ("git_commit", "git_dirty") and code_known
            yield Change(section, change.key, change.a, change.b, not told and None not in (change.a, change.b))
    for key in (*_MACHINE, *_TIME):
        if ours[key] != theirs[key]:
            yield Change("time" if key in _TIME else "machine", key, ours[key], theirs[key], counts=False)


def _figures(a: RunRecord, b: RunRecord) -> Iterator[Change]:
    ours, theirs = (
        {
            **record.metrics,
            **{f"training.{key}": value for key, value in record.training.items()},
            **_grid("kept_ratio", record.kept_ratio),
            **_grid("column_open_ratio", record.column_open_ratio),
            "num_images": record.num_images,
        }
        for record in (a, b)
    )
    for change in _changes("metrics", ours, theirs):
        if is_time(change.key):
            yield Change("time", change.key, change.a, change.b, counts=False)
        else:
            yield change


def _grid(name: str, rows: list[list[float]]) -> dict[str, float]:
    return {f"{name}[{i}][{j}]": value for i, row in enumerate(rows) for j, value in enumerate(row)}


def _changes(section: Section, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Change]:
    left, right = dict(_flat(ours)), dict(_flat(theirs))
    for key in dict.fromkeys((*left, *right)):
        a, b = left.get(key), right.get(key)
        if a != b and not _rounding(a, b):
            yield Change(section, key, a, b, counts=True)


def _rounding(a: object, b: object) -> bool:
    """Whether two figures differ only in the last bits, as sums in another order do."""
    return isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-15)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _both(
    a: FinishedRun,
    b: FinishedRun,
    name: str,
    load: Callable[[Path], Content],
    compare: Callable[[Content, Content], Found],
    notes: list[str],
) -> Found | None:
    """Compare a file that both runs have; a run that lacks what the other has is told of."""
    there = [(run.path / name).is_file() for run in (a, b)]
    if all(there):
        return compare(load(a.path / name), load(b.path / name))
    if any(there):
        lacking = (b if there[0] else a).path.name
        notes.append(f"{lacking} has no {name}: not compared")
    return None
