"""Jobs of the task of classification."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from dit_bench.data.loading import Dataset, build_dataset, check_augment
from dit_bench.data.scenes.sources import Split
from dit_bench.engine.build import build_model
from dit_bench.engine.classification_task import ClassificationTraining
from dit_bench.engine.evaluate import Evaluation, evaluate
from dit_bench.engine.latency import latency_metrics
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.image_records import ImageRecords, save_image_records
from dit_bench.tasks.plugin_metrics import metric_plugins


class ClassificationJobs:
    """Classification as a job sees it; see `TaskJobs`."""

    evaluate = staticmethod(evaluate)
    latency = staticmethod(latency_metrics)

    def check(self, settings: RunSettings) -> None:
        """Refuse augmentation that the data set does not have, and metrics that nobody has."""
        check_augment(settings.data, settings.augment)
        metric_plugins(settings.evaluation.metrics)

    def dataset(self, settings: RunSettings, split: Split, *, training: bool, cache_dir: Path | None) -> Dataset:
        """Labelled images; the same for training and evaluation."""
        return build_dataset(settings.data, split, cache_dir)

    def build(self, settings: RunSettings, num_classes: int) -> nn.Module:
        """The classifier."""
        return build_model(settings, num_classes)

    def training(
        self, settings: RunSettings, runtime: RuntimeSettings, seed: int, dataset: Dataset, device: torch.device
    ) -> ClassificationTraining:
        """The classifier with its training images."""
        return ClassificationTraining(settings, runtime, seed, dataset, device)

    def store(self, evaluation: Evaluation, folder: Path) -> None:
        """Labels, predictions and routes."""
        save_image_records(folder, ImageRecords(**evaluation.records))
