"""Score a detection network from a file on a split of its data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dit_bench.data.coco.build import build_detection_set
from dit_bench.data.scenes.sources import Split
from dit_bench.engine.context import JobContext
from dit_bench.engine.detection_build import build_detection_network
from dit_bench.engine.detection_evaluate import DetectionEvaluation, evaluate_detector
from dit_bench.engine.detection_jobs import detection_latency
from dit_bench.engine.devices import autocast, prepare
from dit_bench.engine.pyramid_build import load_network
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.recipes.settings import RunSettings


@dataclass(frozen=True)
class ScoredDetector:
    """What weights reach on a split."""

    split: Split
    evaluation: DetectionEvaluation
    latency: dict[str, float]
    class_names: dict[int, str]
    """By category id."""
    summary: str
    """What is in the split and what is not, in one line."""

    @property
    def metrics(self) -> dict[str, float]:
        """All figures by name."""
        return self.evaluation.metrics | self.latency


def load_detector(settings: RunSettings, weights: Path, num_classes: int) -> DetectionNetwork:
    """The network of the settings with weights of a whole detection network. Raises as `load_network` does."""
    return load_network(lambda bare: build_detection_network(bare, num_classes), settings, weights)


def score_detector(settings: RunSettings, weights: Path, split: Split, context: JobContext) -> ScoredDetector:
    """Detect in every image of a split with weights from a file, and judge.

    Raises DataError if the data set is missing or an image cannot be read, WeightsError as `load_network` does.
    """
    device = prepare(context.runtime)
    autocast(device, settings.numerics)
    dataset = build_detection_set(settings.data, split, training=False, cache_dir=context.cache_dir)
    network = load_detector(settings, weights, dataset.num_classes)
    evaluation = evaluate_detector(network, dataset, settings, context.runtime, device, context.reporter.evaluating)
    names = dict(zip(dataset.category_ids, dataset.class_names, strict=True))
    latency = detection_latency(network, dataset, settings, device)
    return ScoredDetector(split, evaluation, latency, names, str(dataset.summary))
