"""Training of segmentation networks, as the loop sees it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dit_bench.data.segmentation.batching import (
    SegmentationBatch,
    segmentation_steps_per_epoch,
    segmentation_training_batches,
)
from dit_bench.data.segmentation.segmentation_set import SegmentationSet
from dit_bench.engine.devices import autocast
from dit_bench.engine.segmentation_build import build_segmenting_network, set_pruning
from dit_bench.engine.sharing import own_rows
from dit_bench.engine.task import Route, StepLoss
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.segmenters.network import SegmentationNetwork
from dit_bench.recipes.lineage import is_plain_vit, segmentation_updates
from dit_bench.recipes.settings import RunSettings, RuntimeSettings


class SegmentationTraining:
    """Crops with label maps, and the segmenter's own loss; as long as so many updates, whatever an epoch is."""

    sums_over_batch = True

    def __init__(
        self, settings: RunSettings, runtime: RuntimeSettings, seed: int, dataset: SegmentationSet, device: torch.device
    ):
        self.settings, self.runtime, self.seed = settings, runtime, seed
        self.dataset, self.device = dataset, device
        self.model = self.network = build_segmenting_network(settings, dataset.num_classes).to(device)
        self.steps = segmentation_steps_per_epoch(dataset, settings.optimiser.batch_size)
        self.updates = segmentation_updates(settings)
        pruning = settings.pruning
        if is_plain_vit(settings) and (pruning.mode, pruning.finetune_scope) == ("finetune", "heads"):
            self.network.backbone.requires_grad_(False)

    def batches(self, epoch: int, start_step: int) -> Iterator[SegmentationBatch]:
        """The batches of an epoch from `start_step` on."""
        return segmentation_training_batches(
            self.dataset,
            self.settings.data,
            self.settings.segmentation,
            self.settings.augment.hflip_prob,
            batch_size=self.settings.optimiser.batch_size,
            seed=self.seed,
            epoch=epoch,
            start_step=start_step,
            workers=self.runtime.workers,
            rows=own_rows(self.settings),
        )

    def take(self, batch: SegmentationBatch, rows: list[int]) -> SegmentationBatch:
        """See `TrainingTask`."""
        return SegmentationBatch(batch.pixels[rows], batch.labels[rows], [batch.indices[k] for k in rows])

    def loss(self, batch: SegmentationBatch, epoch: int, step: int) -> StepLoss:
        """The segmenter's loss, with the route that the gates sampled."""
        pixels, labels = batch.pixels.to(self.device), batch.labels.to(self.device)
        set_pruning(self.network, self.settings, training=True)  # an evaluation in between has its own
        with autocast(self.device, self.settings.numerics):
            loss, trace = self.network.loss(pixels, labels)
        route = Route(trace, (pixels.shape[2], pixels.shape[3])) if isinstance(trace, RoutingTrace) else None
        return StepLoss(loss, {}, route, len(pixels))

    def route(self, batch: SegmentationBatch) -> Route:
        """The route of a batch at inference."""
        pixels = batch.pixels.to(self.device)
        assert isinstance(self.network, SegmentationNetwork)
        with autocast(self.device, self.settings.numerics):
            _, trace = self.network.backbone(pixels)
        assert trace is not None
        return Route(trace, (pixels.shape[2], pixels.shape[3]))
