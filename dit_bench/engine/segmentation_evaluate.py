"""Evaluate a segmentation network: every image once, at the size of its label map, its routing and MACs on record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from dit_bench.data.segmentation.batching import segmentation_evaluation_batches
from dit_bench.data.segmentation.segmentation_set import SegmentationSet
from dit_bench.engine import distributed
from dit_bench.engine.devices import autocast, synchronize
from dit_bench.engine.recorded_evaluation import RecordedEvaluation
from dit_bench.engine.segmentation_build import set_pruning
from dit_bench.engine.segmentation_runners import make_runner
from dit_bench.errors import DataError
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.confusion import ConfusionRecords, join_counts
from dit_bench.tasks.segmentation.confusion import Confusion, ImageCounts, SegmentationFigures
from dit_bench.tasks.segmentation.labelling import predict_labels


@dataclass(frozen=True)
class SegmentationEvaluation(RecordedEvaluation):
    """What pixels were taken for on a data set."""

    figures: SegmentationFigures
    counts: ConfusionRecords
    """Pixels by true and predicted class, of the whole set and of each image."""


@torch.no_grad()
def evaluate_segmentation(
    network: nn.Module,
    dataset: SegmentationSet,
    settings: RunSettings,
    runtime: RuntimeSettings,
    device: torch.device,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> SegmentationEvaluation:
    """Label every pixel of `dataset` and compare at the size of the label maps; MACs are those of each image's input.

    Only images of one size at the network are batched and nothing is padded, so that nothing depends on the batch.
    Raises DataError if an image cannot be read or the network's scores are not finite.
    """
    network.eval().to(device)
    set_pruning(network, settings, training=False)
    runner = make_runner(network, settings)
    confusion = Confusion(dataset.num_classes)
    own: list[list[tuple[int, ImageCounts]]] = []
    start = time.perf_counter()
    for batch in segmentation_evaluation_batches(
        dataset,
        settings.segmentation,
        batch_size=runtime.eval_batch_size,
        workers=runtime.workers,
        multiple=runner.multiple,
        only=distributed.own_batches(),
    ):
        counts: list[tuple[int, ImageCounts]] = []
        pixels = batch.pixels.to(device)
        size = (pixels.shape[2], pixels.shape[3])
        with autocast(device, settings.numerics):
            for scores, labels, index in zip(
                runner.scores(pixels, batch.indices), batch.labels, batch.indices, strict=True
            ):
                predicted = predict_labels(scores, (labels.shape[0], labels.shape[1]), through=size).cpu().numpy()
                counts.append((index, confusion.add(predicted, labels)))
        own.append(counts)
        on_batch(distributed.progress(sum(map(len, own)), len(dataset)), len(dataset))
    synchronize(device)
    seconds = time.perf_counter() - start
    runner.share([len(counts) for counts in own])
    together = [count for counts in distributed.interleaved(own) for count in counts]
    confusion.matrix = distributed.add_up(torch.from_numpy(confusion.matrix)).numpy()
    figures = confusion.figures()
    named = {
        "miou_percent": figures.miou_present,
        "miou_all_classes_percent": figures.miou_all,
        "pixel_accuracy_percent": figures.pixel_accuracy,
        "class_accuracy_percent": figures.mean_class_accuracy,
    }
    if figures.miou_present is None:
        raise DataError(
            "no pixel of the split has a label, so there is nothing to compare with",
            remedy="check the label images, and segmentation.zero_label",
        )
    metrics = {name: value for name, value in named.items() if value is not None}
    metrics |= runner.metrics() | {"eval_seconds": seconds}
    return SegmentationEvaluation(
        runner.records(len(dataset)), metrics, figures, join_counts(confusion.matrix, together)
    )
