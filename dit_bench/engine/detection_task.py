"""Training of detectors, as the loop sees it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dit_bench.data.coco.batching import DetectionBatch, detection_training_batches, pad_batch, take_images
from dit_bench.data.coco.detection_set import DetectionSet
from dit_bench.data.coco.grouping import detection_steps_per_epoch
from dit_bench.engine.detection_build import build_detection_network
from dit_bench.engine.devices import autocast
from dit_bench.engine.distributed import largest
from dit_bench.engine.sharing import own_rows
from dit_bench.engine.task import Route, StepLoss
from dit_bench.models.detectors.structures import Objects, PaddedImages
from dit_bench.recipes.settings import RunSettings, RuntimeSettings


def padded_images(batch: DetectionBatch, device: torch.device) -> PaddedImages:
    """The pictures of a batch as detectors take them."""
    return PaddedImages(batch.pixels.to(device), batch.sizes)


def objects_of(batch: DetectionBatch, device: torch.device) -> list[Objects]:
    """What is to be found in each picture of a batch."""
    masks = batch.masks or [None] * len(batch.boxes)
    return [
        Objects(*found).to(device)  # boxes, labels, masks
        for found in zip(batch.boxes, batch.labels, masks, strict=True)
    ]


class DetectionTraining:
    """Pictures with boxes, perhaps masks, and the detector's own losses."""

    sums_over_batch = True

    def __init__(
        self, settings: RunSettings, runtime: RuntimeSettings, seed: int, dataset: DetectionSet, device: torch.device
    ):
        self.settings, self.runtime, self.seed = settings, runtime, seed
        self.dataset, self.device = dataset, device
        self.model = self.network = build_detection_network(settings, dataset.num_classes).to(device)
        self.steps = detection_steps_per_epoch(dataset, settings.optimiser.batch_size)
        self.updates = self.steps * settings.optimiser.epochs

    def batches(self, epoch: int, start_step: int) -> Iterator[DetectionBatch]:
        """See `TrainingTask`; images are padded to the size that the whole batch needs."""
        batches = detection_training_batches(
            self.dataset,
            self.settings.data,
            self.settings.detection,
            self.settings.augment.hflip_prob,
            masks=self.network.detector.predicts_masks,
            batch_size=self.settings.optimiser.batch_size,
            seed=self.seed,
            epoch=epoch,
            start_step=start_step,
            workers=self.runtime.workers,
            rows=own_rows(self.settings),
        )
        for batch in batches:
            yield pad_batch(batch, largest(batch.pixels.shape[2:]))

    def take(self, batch: DetectionBatch, rows: list[int]) -> DetectionBatch:
        """See `TrainingTask`; the padding stays."""
        return take_images(batch, rows)

    def loss(self, batch: DetectionBatch, epoch: int, step: int) -> StepLoss:
        """The sum of the detector's loss terms, with the route that the gates sampled."""
        images = padded_images(batch, self.device)
        with autocast(self.device, self.settings.numerics):
            terms, trace = self.network.losses(images, objects_of(batch, self.device))
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        route = None if trace is None else Route(trace, images.padded_size)
        return StepLoss(loss, {name: term.detach() for name, term in terms.items()}, route, len(images.sizes))

    def route(self, batch: DetectionBatch) -> Route:
        """The route of a batch at inference."""
        images = padded_images(batch, self.device)
        with autocast(self.device, self.settings.numerics):
            _, trace = self.network.backbone(images.pixels)
        assert trace is not None
        return Route(trace, images.padded_size)
