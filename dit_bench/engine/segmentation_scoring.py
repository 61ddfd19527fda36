"""Score a segmentation network from a file on a split of its data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.build import build_segmentation_set
from dit_bench.engine.context import JobContext
from dit_bench.engine.devices import autocast, prepare
from dit_bench.engine.pyramid_build import load_network
from dit_bench.engine.segmentation_build import AnySegmenter, build_segmenting_network
from dit_bench.engine.segmentation_evaluate import SegmentationEvaluation, evaluate_segmentation
from dit_bench.engine.segmentation_jobs import segmentation_latency
from dit_bench.recipes.settings import RunSettings


@dataclass(frozen=True)
class ScoredSegmenter:
    """What weights reach on a split."""

    split: Split
    evaluation: SegmentationEvaluation
    latency: dict[str, float]
    class_names: tuple[str, ...]
    summary: str
    """What is in the split, in one line."""

    @property
    def metrics(self) -> dict[str, float]:
        """All figures by name."""
        return self.evaluation.metrics | self.latency


def load_segmenter(settings: RunSettings, weights: Path, num_classes: int) -> AnySegmenter:
    """The network of the settings with weights of a whole segmentation network. Raises as `load_network` does."""
    return load_network(lambda bare: build_segmenting_network(bare, num_classes), settings, weights)


def score_segmenter(settings: RunSettings, weights: Path, split: Split, context: JobContext) -> ScoredSegmenter:
    """Label every pixel of a split with weights from a file, and compare with the truth.

    Raises DataError if the data set is missing or an image cannot be read, WeightsError as `load_network` does.
    """
    device = prepare(context.runtime)
    autocast(device, settings.numerics)
    dataset = build_segmentation_set(settings.data, settings.segmentation, split, cache_dir=context.cache_dir)
    network = load_segmenter(settings, weights, dataset.num_classes)
    evaluation = evaluate_segmentation(network, dataset, settings, context.runtime, device, context.reporter.evaluating)
    latency = segmentation_latency(network, dataset, settings, device)
    return ScoredSegmenter(split, evaluation, latency, dataset.class_names, str(dataset.summary))
