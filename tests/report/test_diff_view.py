from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dit_bench.recipes.settings import RunSettings
from dit_bench.report.diff_view import (
    DIFF_HEADINGS,
    class_lines,
    diff_document,
    diff_lines,
    differing,
    listed_images,
    verdict_line,
)
from dit_bench.runs.compare import RunDiff, compare_runs
from dit_bench.runs.compare_dense import ClassDiff, DetectionDiff, PixelDiff
from dit_bench.runs.image_records import ImageRecords, save_image_records
from tests.report.finished_runs import publish_run


@pytest.fixture
def diff(tmp_path: Path) -> RunDiff:
    """Two runs of other seeds that disagree about two of three images."""
    images = ImageRecords(
        index=np.arange(3),
        label=np.array([0, 1, 2]),
        prediction=np.array([0, 1, 0]),
        top5_hit=np.ones(3, np.bool_),
        macs=np.array([10**9, 10**9, 10**9]),
        kept=np.ones((3, 1, 1), np.int32),
        tokens=np.array([4], np.int32),
        columns=np.zeros((3, 0, 2), np.bool_),
        live=np.ones((3, 1, 1), np.bool_),
    )
    other = replace(images, prediction=np.array([0, 2, 1]), macs=np.array([10**9, 10**9, 4 * 10**9]))
    runs = []
    for seed, (records, top1) in enumerate(((images, 66.5), (other, 33.25))):
        run = publish_run(tmp_path, RunSettings(), seed, {"top1_percent": top1, "train_seconds": 1.0 + seed})
        save_image_records(run.path, records)
        runs.append(run)
    return compare_runs(*runs)


def _lines(diff: RunDiff) -> dict[tuple[str, str], tuple[str, ...]]:
    lines = diff_lines(diff)
    assert {len(line) for line in lines} == {len(DIFF_HEADINGS)}
    return {(line[0], line[1]): line[2:] for line in lines}


def test_lines_of_figures_and_images(diff: RunDiff) -> None:
    lines = _lines(diff)
    assert lines["seed", "seed"] == ("0", "1", "—", "—")
    assert lines["metrics", "top1_percent"] == ("66.5", "33.25", "-33.25", "-50 %")
    assert lines["(time)", "train_seconds"] == ("1", "2", "+1", "+100 %")
    assert lines["images", "predictions that differ"] == ("—", "—", "2 of 3", "—")
    assert lines["images", "right in one run only"] == ("1", "0", "—", "—")
    assert lines["images", "McNemar's exact test"][2] == "p = 1.00"
    assert lines["images", "images with other MACs"][2] == "1 of 3"
    assert lines["images", "GMACs, mean difference"][2] == "+1"
    assert lines["images", "GMACs, largest difference"][2] == "3"
    sections = [line[0] for line in diff_lines(diff)]
    assert sections == sorted(sections, key=["seed", "metrics", "images", "(time)"].index)


def test_images_are_listed_up_to_a_number(diff: RunDiff) -> None:
    ((title, headings, lines),) = listed_images(diff, 1)
    assert title == "Images that differ: 1 of 2"
    assert dict(zip(headings, lines[0], strict=True)) == {
        "index": "2",
        "label": "2",
        "prediction_a": "0",
        "prediction_b": "1",
        "macs_a": "1000000000",
        "macs_b": "4000000000",
    }
    assert len(listed_images(diff, 9)[0][2]) == 2
    assert listed_images(diff, 0) == []


def test_verdict_and_what_is_ignored(diff: RunDiff) -> None:
    assert verdict_line(diff, ()) == (
        "differ in seed, metrics, images; the same: settings, start, data, code, packages, weights"
    )
    assert differing(diff, ("seed", "images")) == ["metrics"]
    ignored = ("seed", "metrics", "images")
    assert verdict_line(diff, ignored) == "equal in everything but time and machine (images, metrics, seed ignored)"


def test_the_document_is_plain_and_cut(diff: RunDiff) -> None:
    document = json.loads(json.dumps(diff_document(diff, ["seed"], 1), allow_nan=False))
    assert (document["equal"], document["differs_in"], document["ignored"]) == (
        False,
        ["seed", "metrics", "images"],
        ["seed"],
    )
    assert document["images"]["predictions"]["changed"] == 2
    assert [entry["index"] for entry in document["images"]["listed"]] == [2]
    assert document["images"]["images_that_differ"] == 2
    (top1,) = [change for change in document["changes"] if change["key"] == "top1_percent"]
    assert (top1["section"], top1["difference"], top1["relative"], top1["counts"]) == ("metrics", -33.25, -0.5, True)
    assert (document["pixels"], document["detections"]) == (None, None)


def test_dense_prediction(diff: RunDiff) -> None:
    classes = (ClassDiff(0, 50.0, 50.0), ClassDiff(1, 50.0, 47.5), ClassDiff(2, None, 10.0))
    pixels = PixelDiff(classes, 5, 1, 0, ({"index": 3, "a": 1.5, "b": None},))
    detections = DetectionDiff(10, 8, 5, 0, 2, ({"image_id": 4, "detections_a": 3, "detections_b": 1},))
    dense = replace(diff, images=None, pixels=pixels, detections=detections)
    lines = _lines(dense)
    assert lines["images", "images with other pixels"][2] == "1 of 5"
    assert lines["images", "label images in one run only"][:2] == ("1", "0")
    assert lines["images", "detected images in one run only"][:2] == ("0", "2")
    assert lines["images", "detections"][:3] == ("10", "8", "-2")
    assert class_lines(dense) == [("1", "50.00", "47.50", "-2.50"), ("2", "—", "10.00", "—")]
    assert [(title, lines) for title, _, lines in listed_images(dense, 5)] == [
        ("Pixels of images that differ: 1 of 1", [["3", "1.50", "—"]]),
        ("Detections in images that differ: 1 of 1", [["4", "3", "1"]]),
    ]
    assert ("images", "classes", "—", "—", "other numbers of them", "—") in diff_lines(
        replace(dense, pixels=replace(pixels, classes=()))
    )
