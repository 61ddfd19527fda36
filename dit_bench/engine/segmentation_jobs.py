"""Jobs of the task of segmentation."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.batching import segmentation_evaluation_batches
from dit_bench.data.segmentation.build import build_segmentation_set
from dit_bench.data.segmentation.segmentation_set import SegmentationSet
from dit_bench.engine.dense_augment import check_dense_augment
from dit_bench.engine.latency import LATENCY_IMAGES, measure_latency
from dit_bench.engine.pyramid_latency import pyramid_latency
from dit_bench.engine.segmentation_build import build_segmentation_network, build_segmenting_network
from dit_bench.engine.segmentation_evaluate import SegmentationEvaluation, evaluate_segmentation
from dit_bench.engine.segmentation_task import SegmentationTraining
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.dtop.pruning import NO_PRUNING
from dit_bench.models.segmenters.network import SegmentationNetwork
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.confusion import save_confusion
from dit_bench.runs.image_records import save_image_records


def segmentation_latency(
    network: nn.Module, dataset: SegmentationSet, settings: RunSettings, device: torch.device
) -> dict[str, float]:
    """Time per image of the network, and of what it saves against, on images of the data set.

    That is the same segmenter on PVTv2 of its size, or the same plain ViT without pruning. The images of one batch
    have one size; a plain ViT that is tested in windows gets one window of each.
    """
    first = next(
        segmentation_evaluation_batches(dataset, settings.segmentation, batch_size=min(LATENCY_IMAGES, len(dataset)))
    )
    pixels = first.pixels.to(device)
    if isinstance(network, SegmentationNetwork):
        return pyramid_latency(
            network,
            lambda plain: build_segmentation_network(plain, dataset.num_classes),
            lambda segmenting, images: segmenting.segment(images),
            pixels,
            settings,
            device,
        )
    if settings.pruning.slide_stride_px is not None:
        side_px = settings.segmentation.crop_px
        pixels = pixels[:, :, :side_px, :side_px]
    base = copy.deepcopy(network) if isinstance(network, DTopNetwork) else None
    if base is not None:
        base.pruning = NO_PRUNING
    return measure_latency(network, base, pixels, settings, device)


class SegmentationJobs:
    """Segmentation as a job sees it; see `TaskJobs`."""

    evaluate = staticmethod(evaluate_segmentation)
    latency = staticmethod(segmentation_latency)

    def check(self, settings: RunSettings) -> None:
        """Refuse augmentation that segmentation does not have, and mirrored digits."""
        check_dense_augment(settings, "use segmentation.min_resize_factor, segmentation.crop_px and augment.hflip_prob")

    def dataset(
        self, settings: RunSettings, split: Split, *, training: bool, cache_dir: Path | None
    ) -> SegmentationSet:
        """Pictures with label maps."""
        return build_segmentation_set(settings.data, settings.segmentation, split, cache_dir=cache_dir)

    def build(self, settings: RunSettings, num_classes: int) -> nn.Module:
        """Backbone and segmenter."""
        return build_segmenting_network(settings, num_classes)

    def training(
        self, settings: RunSettings, runtime: RuntimeSettings, seed: int, dataset: SegmentationSet, device: torch.device
    ) -> SegmentationTraining:
        """The network with its training images."""
        return SegmentationTraining(settings, runtime, seed, dataset, device)

    def store(self, evaluation: SegmentationEvaluation, folder: Path) -> None:
        """Routes, and what each image's pixels were taken for."""
        save_image_records(folder, evaluation.records)
        save_confusion(folder, evaluation.counts)
