"""Jobs of the task of detection."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from dit_bench.data.coco.batching import detection_evaluation_batches
from dit_bench.data.coco.build import build_detection_set
from dit_bench.data.coco.detection_set import DetectionSet
from dit_bench.data.scenes.sources import Split
from dit_bench.engine.dense_augment import check_dense_augment
from dit_bench.engine.detection_build import build_detection_network
from dit_bench.engine.detection_evaluate import DetectionEvaluation, evaluate_detector
from dit_bench.engine.detection_task import DetectionTraining, padded_images
from dit_bench.engine.latency import LATENCY_IMAGES
from dit_bench.engine.pyramid_latency import pyramid_latency
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.models.detectors.structures import PaddedImages
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.detections import join_detections, save_detections
from dit_bench.runs.image_records import save_image_records


def detection_latency(
    network: DetectionNetwork, dataset: DetectionSet, settings: RunSettings, device: torch.device
) -> dict[str, float]:
    """Time per image of the network, and of the same detector on PVTv2 of its size, on images of the data set."""
    first = next(
        detection_evaluation_batches(dataset, settings.detection, batch_size=min(LATENCY_IMAGES, len(dataset)))
    )
    images = padded_images(first, device)
    return pyramid_latency(
        network,
        lambda plain: build_detection_network(plain, dataset.num_classes),
        lambda detecting, pixels: detecting.detect(PaddedImages(pixels, images.sizes)),
        images.pixels,
        settings,
        device,
    )


class DetectionJobs:
    """Detection as a job sees it; see `TaskJobs`."""

    evaluate = staticmethod(evaluate_detector)
    latency = staticmethod(detection_latency)

    def check(self, settings: RunSettings) -> None:
        """Refuse augmentation that detection does not have, and mirrored digits."""
        check_dense_augment(settings, "use detection.short_sides_px, detection.random_crop and augment.hflip_prob")

    def dataset(self, settings: RunSettings, split: Split, *, training: bool, cache_dir: Path | None) -> DetectionSet:
        """Pictures with objects; for training without those that nothing can be learnt from."""
        return build_detection_set(settings.data, split, training=training, cache_dir=cache_dir)

    def build(self, settings: RunSettings, num_classes: int) -> nn.Module:
        """Backbone and detector."""
        return build_detection_network(settings, num_classes)

    def training(
        self, settings: RunSettings, runtime: RuntimeSettings, seed: int, dataset: DetectionSet, device: torch.device
    ) -> DetectionTraining:
        """The network with its training images."""
        return DetectionTraining(settings, runtime, seed, dataset, device)

    def store(self, evaluation: DetectionEvaluation, folder: Path) -> None:
        """Detections and routes."""
        save_image_records(folder, evaluation.records)
        save_detections(folder, join_detections(evaluation.results))
