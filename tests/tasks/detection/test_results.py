"""Detections in resized images become results in original ones, which COCO's evaluation takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dit_bench.errors import DataError
from dit_bench.models.detectors.structures import Detections
from dit_bench.runs.detections import join_detections, load_detections, save_detections
from dit_bench.tasks.detection.coco_metric import evaluate_detections
from dit_bench.tasks.detection.pasting import mask_areas
from dit_bench.tasks.detection.results import ImageResults, image_results

CATEGORY_IDS = (1, 2, 4, 90)


@pytest.fixture
def detections() -> Detections:
    """Two detections in an image that was enlarged from 300x400 to 600x1000 pixels."""
    boxes = torch.tensor([[100.0, 60.0, 500.0, 260.0], [0.0, 0.0, 1000.0, 600.0]])
    masks = torch.zeros(2, 28, 28)
    masks[0], masks[1, :, :14] = 1, 1
    return Detections(boxes, torch.tensor([0.75, 0.1]), torch.tensor([3, 0]), masks)


def _results(detections: Detections) -> ImageResults:
    return image_results(detections, 17, resized=(600, 1000), original=(300, 400), category_ids=CATEGORY_IDS)


def test_boxes_scores_and_categories(detections: Detections) -> None:
    """Width shrinks by .4, height by .5."""
    first, second = _results(detections).box_results()
    assert first == {"image_id": 17, "category_id": 90, "score": 0.75, "bbox": pytest.approx([40, 30, 160, 100])}
    assert second["category_id"] == 1
    assert second["bbox"] == pytest.approx([0, 0, 400, 300])
    assert json.loads(json.dumps(first)) == first


def test_masks_without_boxes(detections: Detections) -> None:
    results = _results(detections).mask_results()
    assert [set(entry) for entry in results] == [{"image_id", "category_id", "score", "segmentation"}] * 2
    assert [entry["segmentation"]["size"] for entry in results] == [[300, 400]] * 2
    assert mask_areas([entry["segmentation"] for entry in results]) == [
        pytest.approx(160 * 100, rel=2e-3),  # corners are a little round
        pytest.approx(200 * 300, rel=2e-3),
    ]
    assert json.loads(json.dumps(results)) == results


def test_nothing_found() -> None:
    empty = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 28, 28))
    results = image_results(empty, 3, resized=(10, 10), original=(5, 5), category_ids=CATEGORY_IDS)
    assert results.box_results() == results.mask_results() == []


def test_detectors_of_boxes(detections: Detections) -> None:
    results = _results(Detections(detections.boxes, detections.scores, detections.labels))
    assert results.masks is None
    with pytest.raises(AssertionError):
        results.mask_results()


@pytest.mark.parametrize("name", ["scores", "boxes", "masks"])
def test_what_is_not_finite_is_refused(detections: Detections, name: str) -> None:
    getattr(detections, name)[0] = float("nan")
    with pytest.raises(DataError, match=r"image 17: the .* of a detection is not finite"):
        _results(detections)


def test_half_precision_and_gradients(detections: Detections) -> None:
    boxes = detections.boxes.bfloat16().requires_grad_()
    results = _results(Detections(boxes, detections.scores.bfloat16(), detections.labels))
    assert results.boxes.dtype == results.scores.dtype == np.float32


def test_what_is_stored_is_judged_to_the_bit_as_what_was_found(
    draw_detections: Callable[[int], Any], tmp_path: Path
) -> None:
    """Through the file: the same figures, for boxes and masks."""
    truth, _, _ = draw_detections(0)
    height, width = truth["images"][0]["height"], truth["images"][0]["width"]
    rng, images = np.random.default_rng(0), []
    for image in truth["images"]:
        true = [entry for entry in truth["annotations"] if entry["image_id"] == image["id"]]
        boxes = np.array([entry["bbox"] for entry in true]).reshape(-1, 4)
        boxes = (boxes + rng.normal(0, 0.04, boxes.shape) * boxes[:, [2, 3, 2, 3]]) * 1.37
        boxes[:, 2:] += boxes[:, :2]
        labels = torch.tensor([entry["category_id"] for entry in true], dtype=torch.int64)
        found = Detections(torch.from_numpy(boxes), torch.rand(len(true)), labels, torch.rand(len(true), 28, 28).sqrt())
        resized = (round(height * 1.37), round(width * 1.37))
        images.append(
            image_results(found, image["id"], resized=resized, original=(height, width), category_ids=range(100))
        )
    save_detections(tmp_path, join_detections(images))
    stored = load_detections(tmp_path)
    assert stored.images.tolist() == sorted(image["id"] for image in truth["images"])
    boxes = [entry for results in images for entry in results.box_results()]
    masks = [entry for results in images for entry in results.mask_results()]
    in_order = sorted(range(len(boxes)), key=lambda k: boxes[k]["image_id"])
    assert stored.results("bbox") == [boxes[k] for k in in_order]
    assert stored.results("segm") == [masks[k] for k in in_order]
    judged = evaluate_detections(truth, boxes, "bbox")
    assert judged.ap is not None
    assert 5 < judged.ap < 95
    assert evaluate_detections(truth, stored.results("bbox"), "bbox", stored.images) == judged
    assert evaluate_detections(truth, stored.results("segm"), "segm") == evaluate_detections(truth, masks, "segm")
