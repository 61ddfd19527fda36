"""Evaluate a detection network: every image once, its detections, its routing and its MACs on record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dit_bench.data.coco.batching import detection_evaluation_batches
from dit_bench.data.coco.detection_set import DetectionSet
from dit_bench.engine import distributed
from dit_bench.engine.detection_task import padded_images
from dit_bench.engine.devices import autocast, synchronize
from dit_bench.engine.pyramid_records import PyramidRecorder
from dit_bench.engine.recorded_evaluation import RecordedEvaluation
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.tasks.detection.coco_metric import CocoFigures, evaluate_detections
from dit_bench.tasks.detection.results import ImageResults, image_results


@dataclass(frozen=True)
class DetectionEvaluation(RecordedEvaluation):
    """What was found on a data set, and how it was judged."""

    results: list[ImageResults]
    """In the order of the data set."""
    boxes: CocoFigures
    masks: CocoFigures | None


@torch.no_grad()
def evaluate_detector(
    network: DetectionNetwork,
    dataset: DetectionSet,
    settings: RunSettings,
    runtime: RuntimeSettings,
    device: torch.device,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> DetectionEvaluation:
    """Detect in every image of `dataset` and judge by COCO's rules; MACs are those of each image at its own size.

    Only images of one padded size are batched, so that nothing depends on the batch. Raises DataError if an image
    cannot be read or a detection is not finite.
    """
    network.eval().to(device)
    recorder = PyramidRecorder(network, settings.model.name)
    own: list[dict[int, ImageResults]] = []
    start = time.perf_counter()
    for batch in detection_evaluation_batches(
        dataset,
        settings.detection,
        batch_size=runtime.eval_batch_size,
        workers=runtime.workers,
        only=distributed.own_batches(),
    ):
        images = padded_images(batch, device)
        with autocast(device, settings.numerics):
            found, trace = network.detect(images)
        recorder.add(trace, images.padded_size, batch.indices)
        own.append(
            {
                index: image_results(
                    found[place],
                    batch.image_ids[place],
                    resized=batch.sizes[place],
                    original=batch.original_sizes[place],
                    category_ids=dataset.category_ids,
                )
                for place, index in enumerate(batch.indices)
            }
        )
        on_batch(distributed.progress(recorder.num_images, len(dataset)), len(dataset))
    synchronize(device)
    seconds = time.perf_counter() - start
    recorder.share([len(batch) for batch in own])
    records = recorder.records(len(dataset))
    results = {index: found for batch in distributed.interleaved(own) for index, found in batch.items()}
    listed = [results[index] for index in range(len(dataset))]
    # Once: judging takes minutes and gigabytes.
    with_masks = network.detector.predicts_masks
    judged = distributed.from_main(_judged(dataset, listed, with_masks=with_masks) if distributed.is_main() else None)
    assert judged is not None
    boxes, masks = judged
    metrics = _percent("box", boxes) | recorder.metrics()
    if masks is not None:
        metrics |= _percent("mask", masks)
    metrics["eval_seconds"] = seconds
    return DetectionEvaluation(records, metrics, listed, boxes, masks)


def _judged(
    dataset: DetectionSet, results: list[ImageResults], *, with_masks: bool
) -> tuple[CocoFigures, CocoFigures | None]:
    ground_truth, image_ids = dataset.ground_truth(), [result.image_id for result in results]
    boxes = [entry for result in results for entry in result.box_results()]
    judged = evaluate_detections(ground_truth, boxes, "bbox", image_ids)
    if not with_masks:
        return judged, None
    masks = [entry for result in results for entry in result.mask_results()]
    return judged, evaluate_detections(ground_truth, masks, "segm", image_ids)


def _percent(kind: str, figures: CocoFigures) -> dict[str, float]:
    """Metrics by name; a figure that no object counts towards is left out."""
    named = {f"{kind}_{name}_percent": value for name, value in figures.figures().items()}
    return {name: value for name, value in named.items() if value is not None}
