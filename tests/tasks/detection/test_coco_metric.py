"""COCO's figures: against pycocotools on awkward random data, and on cases that can be worked out by hand."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dit_bench.errors import DataError
from dit_bench.tasks.detection.coco_inputs import IouType
from dit_bench.tasks.detection.coco_metric import BACKENDS, Backend, check_backends, evaluate_detections
from dit_bench.tasks.detection.pasting import as_run_lengths

BOTH = pytest.mark.parametrize("backend", BACKENDS)
ORDER = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
ORDER += ["ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]


def _truth(*objects: tuple[int, int, list[float]], images: int = 2, **extra: Any) -> dict[str, Any]:
    """Objects as (image, category, box) in images of 200x200 pixels numbered from 1; categories 1 and 5."""
    annotations = [
        {
            "id": k,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            **extra,
        }
        for k, (image, category, box) in enumerate(objects)
    ]
    return {
        "images": [{"id": k, "height": 200, "width": 200} for k in range(1, images + 1)],
        "categories": [{"id": 5, "name": "five"}, {"id": 1, "name": "one"}],
        "annotations": annotations,
    }


def _found(image: int, category: int, box: list[float], score: float = 0.9) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("seed", [0, 1])
def test_both_backends_equal_plain_pycocotools(
    draw_detections: Callable[..., Any], iou_type: IouType, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, boxes, masks = draw_detections(seed)
    results = boxes if iou_type == "bbox" else masks
    reference = COCO()
    numbered = [{**entry, "id": entry["id"] + 1} for entry in truth["annotations"]]  # its 0 means "not matched"
    reference.dataset = copy.deepcopy({**truth, "annotations": numbered})  # pyright: ignore[reportAttributeAccessIssue]
    reference.createIndex()
    plain = COCOeval(reference, reference.loadRes(copy.deepcopy(results)), iou_type)
    plain.evaluate()
    plain.accumulate()
    plain.summarize()
    capsys.readouterr()
    assert (plain.stats > 0).all(), "the random data exercise too little"

    comparison = check_backends(truth, results, iou_type)
    assert comparison.agree, str(comparison)
    assert set(comparison.deviations) == {*ORDER, "class_ap"}
    for backend in BACKENDS:
        figures = evaluate_detections(truth, results, iou_type, backend=backend)
        assert list(figures.figures()) == ORDER
        for value, expected in zip(figures.figures().values(), plain.stats, strict=True):
            assert value == (None if expected == -1 else pytest.approx(100 * expected, abs=1e-10))
        for place, category in enumerate(sorted((3, 1, 7, 18, 90, 44))):
            precision = plain.eval["precision"][:, :, place, 0, -1]
            expected = None if category in (90, 44) else pytest.approx(100 * precision.mean(), abs=1e-10)
            assert figures.class_ap[category] == expected
    assert capsys.readouterr() == ("", "")


def test_a_deviation_is_stated(draw_detections: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from dit_bench.tasks.detection import coco_metric

    truth, boxes, _ = draw_detections(0)
    fast = coco_metric._JUDGES["faster_coco_eval"]

    def worse(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        stats, precision = fast(*arguments)
        stats = stats.copy()
        stats[1] -= 1e-6
        return stats, precision

    monkeypatch.setitem(coco_metric._JUDGES, "faster_coco_eval", worse)
    comparison = check_backends(truth, boxes, "bbox")
    assert not comparison.agree
    assert "differ by 1.0e-06 in ap50 (tolerance 1e-12)" in str(comparison)
    assert check_backends(truth, boxes, "bbox", tolerance=1e-5).agree


@BOTH
def test_perfect_detections(backend: Backend) -> None:
    boxes = [(1, 1, [10.0, 20.0, 20.0, 20.0]), (2, 1, [0.0, 0.0, 50.0, 60.0]), (2, 5, [5.0, 5.0, 150.0, 150.0])]
    figures = evaluate_detections(_truth(*boxes), [_found(*entry) for entry in boxes], "bbox", backend=backend)
    assert list(figures.figures().values()) == pytest.approx([100] * 12)
    assert figures.class_ap == {1: pytest.approx(100), 5: pytest.approx(100)}


@BOTH
def test_shifted_boxes(backend: Backend) -> None:
    """Boxes of 100x100 shifted by 25 px share 7500 of 12500 px: IoU .6 is met at the thresholds .50, .55 and .60."""
    truth = _truth((1, 1, [0.0, 0.0, 100.0, 100.0]), (2, 1, [50.0, 50.0, 100.0, 100.0]))
    results = [_found(1, 1, [25.0, 0.0, 100.0, 100.0]), _found(2, 1, [50.0, 75.0, 100.0, 100.0])]
    figures = evaluate_detections(truth, results, "bbox", backend=backend)
    assert figures.ap50 == pytest.approx(100)
    assert figures.ap75 == pytest.approx(0)
    assert figures.ap == pytest.approx(30)
    assert figures.ar1 == pytest.approx(30)
    assert figures.ap_large == pytest.approx(30)
    assert figures.ap_small is None
    assert figures.ar_medium is None
    assert figures.class_ap == {1: pytest.approx(30), 5: None}


@BOTH
def test_a_false_alarm_between_two_hits(backend: Backend) -> None:
    """Precision is 1 up to recall 1/2 (51 of 101 points) and 2/3 after it."""
    truth = _truth((1, 1, [0.0, 0.0, 40.0, 40.0]), (2, 1, [0.0, 0.0, 40.0, 40.0]))
    results = [_found(1, 1, [0.0, 0.0, 40.0, 40.0], 0.9), _found(2, 1, [150.0, 150.0, 40.0, 40.0], 0.8)]
    results.append(_found(2, 1, [0.0, 0.0, 40.0, 40.0], 0.7))
    figures = evaluate_detections(truth, results, "bbox", backend=backend)
    assert figures.ap == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)
    assert figures.ar1 == pytest.approx(50)
    assert figures.ar10 == pytest.approx(100)


@BOTH
def test_nothing_found(backend: Backend) -> None:
    figures = evaluate_detections(_truth((1, 1, [0.0, 0.0, 40.0, 40.0])), [], "bbox", backend=backend)
    assert figures.ap == figures.ar100 == figures.ap_medium == 0
    assert figures.ap_small is None
    assert figures.class_ap == {1: 0, 5: None}


@BOTH
def test_nothing_there(backend: Backend) -> None:
    for results in ([], [_found(1, 1, [0.0, 0.0, 40.0, 40.0])]):
        figures = evaluate_detections(_truth(), results, "bbox", backend=backend)
        assert set(figures.figures().values()) == {None}
        assert figures.class_ap == {1: None, 5: None}


@BOTH
def test_only_the_given_images_are_judged(backend: Backend) -> None:
    truth = _truth((1, 1, [0.0, 0.0, 40.0, 40.0]), (2, 1, [0.0, 0.0, 40.0, 40.0]), images=3)
    results = [_found(1, 1, [0.0, 0.0, 40.0, 40.0])]
    assert evaluate_detections(truth, results, "bbox", backend=backend).ar100 == pytest.approx(50)
    assert evaluate_detections(truth, results, "bbox", [1], backend=backend).ar100 == pytest.approx(100)
    assert evaluate_detections(truth, results, "bbox", iter([3, 1, 1]), backend=backend).ar100 == pytest.approx(100)
    assert evaluate_detections(truth, [], "bbox", [3], backend=backend).ap is None


@BOTH
def test_the_hundred_best_count(backend: Backend) -> None:
    """The 101st detection of a class in an image is not looked at; one of another class is."""
    truth = _truth((1, 1, [0.0, 0.0, 40.0, 40.0]), (1, 5, [0.0, 0.0, 40.0, 40.0]))
    misses = [_found(1, 1, [100.0, 100.0, 40.0, 40.0], 0.9) for _ in range(99)]
    hits = [_found(1, category, [0.0, 0.0, 40.0, 40.0], 0.5) for category in (1, 5)]
    assert evaluate_detections(truth, misses + hits, "bbox", backend=backend).ar100 == pytest.approx(100)
    more = [*misses, misses[0], *hits]
    assert evaluate_detections(truth, more, "bbox", backend=backend).class_ap == {1: 0, 5: pytest.approx(100)}


@BOTH
def test_the_size_of_a_found_mask_is_not_that_of_its_box(backend: Backend) -> None:
    """A thin cross of 39x39 px has 77 px: unmatched it does not count among medium objects, though its box would."""
    cross = np.zeros((200, 200), bool)
    cross[120, 100:139], cross[101:140, 120] = True, True
    square = np.zeros((200, 200), bool)
    square[:40, :40] = True
    truth = _truth((1, 1, [0.0, 0.0, 40.0, 40.0]), segmentation=as_run_lengths(square))
    hit = {**_found(1, 1, [0.0, 0.0, 40.0, 40.0], 0.5), "segmentation": as_run_lengths(square)}
    miss = {**_found(1, 1, [100.0, 101.0, 39.0, 39.0], 0.9), "segmentation": as_run_lengths(cross)}
    figures = evaluate_detections(truth, [miss, hit], "segm", backend=backend)
    assert figures.ap_medium == pytest.approx(100)
    assert figures.ap == pytest.approx(50)


@BOTH
def test_a_false_alarm_has_its_own_size_where_its_class_is_absent(backend: Backend) -> None:
    """A square of 20 px in an image without its class is a false alarm among small objects, one of 40 px is not."""

    def square(side_px: int) -> dict[str, Any]:
        mask = np.zeros((200, 200), bool)
        mask[:side_px, :side_px] = True
        return as_run_lengths(mask)

    truth = _truth((1, 1, [0.0, 0.0, 20.0, 20.0]), segmentation=square(20))
    hit = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": square(20)}
    for side_px, ap_small in ((20, 50), (40, 100)):
        alarm = {"image_id": 2, "category_id": 1, "score": 0.9, "segmentation": square(side_px)}
        figures = evaluate_detections(truth, [alarm, hit], "segm", backend=backend)
        assert (figures.ap_small, figures.ap) == (pytest.approx(ap_small), pytest.approx(50))


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_as_it_was(enabled: bool) -> None:
    truth = _truth((1, 1, [0.0, 0.0, 40.0, 40.0]))
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        evaluate_detections(truth, [_found(1, 1, [0.0, 0.0, 1.0, 1.0])], "bbox")
        assert gc.isenabled() == enabled
        with pytest.raises(DataError):
            evaluate_detections(truth, [_found(9, 1, [0.0, 0.0, 1.0, 1.0])], "bbox")
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_the_arguments_stay_as_they_are(draw_detections: Callable[..., Any]) -> None:
    truth, boxes, masks = draw_detections(0)
    before = copy.deepcopy((truth, boxes, masks))
    check_backends(truth, boxes, "bbox")
    check_backends(truth, masks, "segm")
    assert (truth, boxes, masks) == before


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (_found(9, 1, [0.0, 0.0, 1.0, 1.0]), "detection 1: image 9 is not among the judged images"),
        (_found(1, 2, [0.0, 0.0, 1.0, 1.0]), r"detection 1 \(image 1\): unknown category 2"),
        (_found(1, 1, [0.0, 0.0, 1.0, 1.0], float("nan")), r"detection 1 \(image 1\): score is nan"),
        (_found(1, 1, [0.0, 0.0, 1.0, 1.0], float("inf")), "score is inf"),
        (_found(1, 1, [0.0, float("nan"), 1.0, 1.0]), r"detection 1 \(image 1\): box \[0.0, nan, 1.0, 1.0\] is not"),
        (_found(1, 1, [0.0, 0.0, -1.0, 1.0]), "is not x, y, width, height"),
        (_found(1, 1, [0.0, 0.0, 1.0]), "is not x, y, width, height"),
        ({"image_id": 1, "category_id": 1, "score": 0.5}, "detection 1: no 'bbox'"),
    ],
)
@BOTH
def test_detections_that_cannot_be_judged(result: dict[str, Any], message: str, backend: Backend) -> None:
    truth = _truth((1, 1, [0.0, 0.0, 40.0, 40.0]))
    with pytest.raises(DataError, match=message):
        evaluate_detections(truth, [_found(1, 1, [0.0, 0.0, 1.0, 1.0]), result], "bbox", backend=backend)


def test_masks_that_cannot_be_judged() -> None:
    mask = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": as_run_lengths(np.ones((200, 100), bool))}
    truth = _truth((1, 1, [0.0, 0.0, 40.0, 40.0]), segmentation=as_run_lengths(np.ones((200, 200), bool)))
    with pytest.raises(DataError, match="mask of 200x100 pixels, the image has 200x200"):
        evaluate_detections(truth, [mask], "segm")
    for other in ([[0.0, 0.0, 9.0, 0.0, 9.0, 9.0]], {"size": [200, 200], "counts": [0, 40000]}, {"counts": "PR91"}):
        with pytest.raises(DataError, match=r"detection 0 \(image 1\): segmentation is not compressed run lengths"):
            evaluate_detections(truth, [{**mask, "segmentation": other}], "segm")


def test_ground_truth_that_cannot_be_judged() -> None:
    truth = _truth((1, 1, [0.0, 0.0, 40.0, 40.0]))
    with pytest.raises(DataError, match="no 'categories'"):
        evaluate_detections({key: truth[key] for key in ("images", "annotations")}, [], "bbox")
    with pytest.raises(DataError, match="no categories to judge"):
        evaluate_detections({**truth, "categories": []}, [], "bbox")
    with pytest.raises(DataError, match="image 7 is not in the annotations"):
        evaluate_detections(truth, [], "bbox", [1, 7])
    with pytest.raises(DataError, match="no images to judge"):
        evaluate_detections(truth, [], "bbox", [])
    with pytest.raises(DataError, match="annotation 0: no 'segmentation'"):
        evaluate_detections(truth, [], "segm")
