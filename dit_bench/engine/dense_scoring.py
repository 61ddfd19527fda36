"""Score a network of dense prediction from a file on a split of its data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_bench.data.scenes.sources import Split
from dit_bench.engine import distributed
from dit_bench.engine.context import JobContext
from dit_bench.engine.devices import autocast, prepare
from dit_bench.engine.pyramid_build import load_network
from dit_bench.engine.tasks import TASKS
from dit_bench.recipes.settings import RunSettings


@dataclass(frozen=True)
class ScoredDense:
    """What weights reach on a split."""

    split: Split
    evaluation: Any
    """`DetectionEvaluation` or `SegmentationEvaluation`, as the task has it."""
    latency: dict[str, float]
    dataset: Any
    """`DetectionSet` or `SegmentationSet`."""

    @property
    def metrics(self) -> dict[str, float]:
        """All figures by name."""
        return self.evaluation.metrics | self.latency


def score_dense(settings: RunSettings, weights: Path, split: Split, context: JobContext) -> ScoredDense:
    """Run weights from a file on every image of a split, and judge.

    Raises DataError if the data set is missing or an image cannot be read, WeightsError as `load_network` does.
    """
    jobs, device = TASKS[settings.task], prepare(context.runtime)
    autocast(device, settings.numerics)
    with distributed.first_on_each_machine():
        dataset = jobs.dataset(settings, split, training=False, cache_dir=context.cache_dir)
    network = load_network(lambda bare: jobs.build(bare, dataset.num_classes), settings, weights)
    evaluation = jobs.evaluate(network, dataset, settings, context.runtime, device, context.reporter.evaluating)
    latency = jobs.latency(network, dataset, settings, device) if distributed.is_main() else {}
    return ScoredDense(split, evaluation, distributed.from_main(latency), dataset)
