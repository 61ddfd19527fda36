"""Training of classifiers, as the loop sees it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dit_bench.data.loading import Dataset, steps_per_epoch, training_batches
from dit_bench.engine.build import build_model
from dit_bench.engine.devices import autocast
from dit_bench.engine.seeds import numpy_stream
from dit_bench.engine.sharing import own_rows
from dit_bench.engine.task import Route, StepLoss
from dit_bench.models.dit.model import DiT
from dit_bench.models.shares import part_of_mean
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.tasks.classification import build_mixup, training_loss

Batch = tuple[Tensor, Tensor]
"""Images `(B, 3, H, W)` and labels `(B,)`."""


class ClassificationTraining:
    """Images with labels, mixup, and cross-entropy."""

    sums_over_batch = False

    def __init__(
        self, settings: RunSettings, runtime: RuntimeSettings, seed: int, dataset: Dataset, device: torch.device
    ):
        self.settings, self.runtime, self.seed = settings, runtime, seed
        self.dataset, self.device = dataset, device
        self.model = build_model(settings, dataset.num_classes).to(device)
        self.steps = steps_per_epoch(dataset, settings.augment, settings.optimiser.batch_size)
        self.updates = self.steps * settings.optimiser.epochs
        self._mixup = build_mixup(settings.augment, dataset.num_classes)
        self._forward = torch.compile(self.model) if settings.numerics.compile else self.model

    def batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """The batches of an epoch from `start_step` on."""
        return training_batches(
            self.dataset,
            self.settings.data,
            self.settings.augment,
            batch_size=self.settings.optimiser.batch_size,
            seed=self.seed,
            epoch=epoch,
            start_step=start_step,
            workers=self.runtime.workers,
            rows=own_rows(self.settings),
        )

    def take(self, batch: Batch, rows: list[int]) -> Batch:
        """See `TrainingTask`; a copy, which mixup may write to."""
        return batch[0][rows], batch[1][rows]

    def loss(self, batch: Batch, epoch: int, step: int) -> StepLoss:
        """Cross-entropy of a batch after mixup, with the route that the gates sampled."""
        images, targets = (tensor.to(self.device) for tensor in batch)
        if self._mixup is not None:
            with numpy_stream(self.seed, "mixup", epoch, step):
                images, targets = self._mixup(images, targets)
        route = None
        with autocast(self.device, self.settings.numerics):
            if isinstance(self.model, DiT):
                logits, trace = self._forward(images, with_trace=True)
                route = Route(trace, (images.shape[-2], images.shape[-1]))
            else:
                logits = self._forward(images)
        loss = part_of_mean(training_loss(logits, targets, self.settings.augment.label_smoothing))
        return StepLoss(loss, {}, route, len(images))

    def route(self, batch: Batch) -> Route:
        """The route of a batch at inference."""
        images = batch[0].to(self.device)
        with autocast(self.device, self.settings.numerics):
            _, trace = self.model(images, with_trace=True)
        return Route(trace, (images.shape[-2], images.shape[-1]))
