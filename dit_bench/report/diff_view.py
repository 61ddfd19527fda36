"""The differences of two runs, for people and programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dit_bench.recipes.problems import show_value
from dit_bench.report.numbers import MISSING, fixed, p_text
from dit_bench.runs.compare import SECTIONS, Change, RunDiff
from dit_bench.runs.compare_dense import ClassDiff

DIFF_HEADINGS = ("section", "key", "A", "B", "B − A", "relative")
CLASS_HEADINGS = ("class", "IoU A (%)", "IoU B (%)", "B − A")


def diff_document(diff: RunDiff, ignored: Collection[str], most_images: int) -> dict[str, Any]:
    """Everything as plain data, the lists of images cut after `most_images`."""
    return {
        "a": {"run": diff.a.path.name, "folder": str(diff.a.path)},
        "b": {"run": diff.b.path.name, "folder": str(diff.b.path)},
        "equal": not differing(diff, ignored),
        "differs_in": diff.sections,
        "ignored": sorted(ignored),
        "changes": [
            {**asdict(change), "difference": change.difference, "relative": change.relative} for change in diff.changes
        ],
        "images": _cut(diff.images, most_images),
        "pixels": _cut(diff.pixels, most_images),
        "detections": _cut(diff.detections, most_images),
        "notes": list(diff.notes),
    }


def differing(diff: RunDiff, ignored: Collection[str]) -> list[str]:
    """The sections in which the runs differ, but for ignored ones."""
    return [section for section in diff.sections if section not in ignored]


def diff_lines(diff: RunDiff) -> list[tuple[str, ...]]:
    """One line per value that differs; what is no difference of the runs comes last, marked with brackets."""
    order = {section: place for place, section in enumerate(SECTIONS)}
    counted = sorted((change for change in diff.changes if change.counts), key=lambda change: order[change.section])
    told = [_change(change) for change in counted] + _images(diff)
    return told + [_change(change) for change in diff.changes if not change.counts]


def verdict_line(diff: RunDiff, ignored: Collection[str]) -> str:
    """In one sentence: equal or not, and in what."""
    sections = differing(diff, ignored)
    left_out = f" ({', '.join(sorted(ignored))} ignored)" if ignored else ""
    if not sections:
        return f"equal in everything but time and machine{left_out}"
    same = [section for section in SECTIONS if section not in diff.sections]
    return f"differ in {', '.join(sections)}; the same: {', '.join(same) or 'nothing'}{left_out}"


def listed_images(diff: RunDiff, most_images: int) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, headings and lines of each list of images, the first `most_images` of them."""
    tables = []
    parts = (("Images", diff.images), ("Pixels of images", diff.pixels), ("Detections in images", diff.detections))
    for name, part in parts:
        shown = list(part.listed[:most_images]) if part is not None else []
        if part is not None and shown:
            title = f"{name} that differ: {len(shown)} of {len(part.listed)}"
            tables.append((title, list(shown[0]), [[_figure(value) for value in entry.values()] for entry in shown]))
    return tables


def class_lines(diff: RunDiff) -> list[tuple[str, ...]]:
    """Intersection over union of each class whose figure differs."""
    classes = () if diff.pixels is None else diff.pixels.classes
    return [_class(found) for found in classes if found.iou_percent_a != found.iou_percent_b]


def _class(found: ClassDiff) -> tuple[str, ...]:
    a, b = found.iou_percent_a, found.iou_percent_b
    difference = MISSING if a is None or b is None else f"{b - a:+.2f}"
    return (str(found.label), *(MISSING if iou is None else fixed(iou, 2) for iou in (a, b)), difference)


def _cut(part: Any, most_images: int) -> dict[str, Any] | None:
    if part is None:
        return None
    found = asdict(part)
    return {**found, "listed": list(part.listed[:most_images]), "images_that_differ": len(part.listed)}


def _change(change: Change) -> tuple[str, ...]:
    section = change.section if change.counts else f"({change.section})"
    difference = MISSING if change.difference is None else f"{change.difference:+.6g}"
    relative = MISSING if change.relative is None else f"{100 * change.relative:+.3g} %"
    if change.section == "seed":
        difference = relative = MISSING
    return section, change.key, _value(change.a), _value(change.b), difference, relative


def _images(diff: RunDiff) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []

    def add(key: str, text: str, a: str = MISSING, b: str = MISSING) -> None:
        lines.append(("images", key, a, b, text, MISSING))

    images = diff.images
    if images is not None and images.differs:
        _add_counts(add, "images", images.only_a, images.only_b)
        if (said := images.predictions) is not None and said.changed:
            add("predictions that differ", f"{said.changed} of {images.common}")
            add("right in one run only", MISSING, str(said.only_a_right), str(said.only_b_right))
            add("McNemar's exact test", p_text(said.mcnemar_p))
        if said is not None and said.labels_changed:
            add("true classes that differ", f"{said.labels_changed} of {images.common}")
        if images.macs_changed:
            add("images with other MACs", f"{images.macs_changed} of {images.common}")
            add("GMACs, mean difference", f"{images.macs_mean_difference / 1e9:+.6g}")
            add("GMACs, largest difference", f"{images.macs_most / 1e9:.6g}")
        if images.routes_changed:
            add("images with other routes", f"{images.routes_changed} of {images.common}")
    if diff.pixels is not None and diff.pixels.differs:
        _add_counts(add, "label images", diff.pixels.only_a, diff.pixels.only_b)
        if not diff.pixels.classes:
            add("classes", "other numbers of them")
        add("images with other pixels", f"{len(diff.pixels.listed)} of {diff.pixels.common}")
    found = diff.detections
    if found is not None and found.differs:
        _add_counts(add, "detected images", found.only_a, found.only_b)
        add(
            "detections",
            f"{found.detections_b - found.detections_a:+d}",
            str(found.detections_a),
            str(found.detections_b),
        )
        add("images with other detections", f"{len(found.listed)} of {found.common}")
    return lines


def _add_counts(add: Any, what: str, only_a: int, only_b: int) -> None:
    if only_a or only_b:
        add(f"{what} in one run only", MISSING, str(only_a), str(only_b))


def _value(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(_item, value)) or "none"
    return f"{value:.8g}" if isinstance(value, float) else _item(value)


def _item(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(str(part) for part in value.values() if part is not None)
    return value if isinstance(value, str) else show_value(value)


def _figure(value: Any) -> str:
    if value is None:
        return MISSING
    return fixed(value, 2) if isinstance(value, float) else str(value)
