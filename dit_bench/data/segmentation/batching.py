"""Samples and batches of segmentation sets for training and evaluation.

Nothing here depends on how many workers read, or on where a training run was resumed: the order of an epoch comes
from (seed, epoch), the augmentation of a sample from (seed, epoch, position).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dit_bench.data.coco.batching import check_mirroring
from dit_bench.data.coco.grouping import PAD_MULTIPLE_PX, evaluation_groups
from dit_bench.data.order import epoch_order, sample_generators
from dit_bench.data.reading import read_batches
from dit_bench.data.segmentation.segmentation_set import IGNORED, SegmentationSet
from dit_bench.data.segmentation.transforms import LabelledPicture, augment, network_pixels, network_size
from dit_bench.data.transforms import normalise_images
from dit_bench.errors import UsageError
from dit_bench.recipes.dense_settings import SegmentationSettings
from dit_bench.recipes.settings import DataSettings


@dataclass(frozen=True)
class SegmentationBatch:
    """Square training crops of B images."""

    pixels: Tensor
    """`(B, 3, S, S)` float32, minus ImageNet's mean, over its standard deviation; zero where padded."""
    labels: Tensor
    """`(B, S, S)` int64: 0 … K − 1, or 255 where ignored or padded."""
    indices: list[int]
    """Numbers of the images in the data set."""


@dataclass(frozen=True)
class SegmentationEvaluationBatch:
    """Whole images that reach the network at one size; every list has one entry per image."""

    pixels: Tensor
    """`(B, 3, H, W)` float32, normalised; nothing is padded."""
    labels: list[np.ndarray]
    """uint8 (h, w) each, at the size of the image's file: 0 … K − 1, or 255 where ignored."""
    indices: list[int]

    @property
    def original_sizes(self) -> list[tuple[int, int]]:
        """Height and width of the images in their files."""
        return [(labels.shape[0], labels.shape[1]) for labels in self.labels]


def segmentation_steps_per_epoch(dataset: SegmentationSet, batch_size: int) -> int:
    """Return the number of full batches of an epoch; the images of an incomplete one are left out of it.

    Raises:
        UsageError: a batch is larger than the data set.
    """
    if batch_size > len(dataset):
        raise UsageError(
            f"optimiser.batch_size={batch_size} is larger than an epoch of {len(dataset)} images",
            remedy="choose a smaller batch or more images",
        )
    return len(dataset) // batch_size


def segmentation_training_batches(
    dataset: SegmentationSet,
    data: DataSettings,
    segmentation: SegmentationSettings,
    hflip_prob: float,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    start_step: int = 0,
    workers: int = 0,
    rows: np.ndarray | None = None,
) -> Iterator[SegmentationBatch]:
    """Yield the batches of an epoch from `start_step` on; the last incomplete one is dropped.

    With `rows` only these places of every batch are read.

    Raises:
        DataError: an image or its labels cannot be read; the message names the file.
        UsageError: the batch is larger than the data set, or digits would be mirrored.
    """
    check_mirroring(data, hflip_prob)
    steps = segmentation_steps_per_epoch(dataset, batch_size)
    order = epoch_order(len(dataset), 1, seed=seed, epoch=epoch).tolist()
    places = range(batch_size) if rows is None else rows.tolist()
    positions = (
        [(k, order[k]) for k in (step * batch_size + place for place in places)] for step in range(start_step, steps)
    )
    crops = _TrainingCrops(dataset, segmentation, hflip_prob, seed, epoch)
    # Labels travel from workers as bytes.
    return (
        SegmentationBatch(pixels, labels.long(), indices)
        for pixels, labels, indices in read_batches(crops, positions, _stack_crops, workers)
    )


def segmentation_evaluation_batches(
    dataset: SegmentationSet,
    segmentation: SegmentationSettings,
    *,
    batch_size: int,
    workers: int = 0,
    multiple: int = PAD_MULTIPLE_PX,
    only: slice = slice(None),
) -> Iterator[SegmentationEvaluationBatch]:
    """Yield each image exactly once, only images of one size at the network in a batch, the largest first.

    With `only` some of the batches. `indices` says which images they are. An image's input does not depend on the batch
    size; its sides are rounded up to a `multiple`, 1 for networks that cut windows out of it.

    Raises:
        DataError: an image or its labels cannot be read; the message names the file.
    """
    sizes = [network_size(dataset.size(k), segmentation, multiple) for k in range(len(dataset))]
    groups = evaluation_groups(sizes, batch_size)[only]
    positions = ([(index, index) for index in group] for group in groups)
    return read_batches(_TestImages(dataset, segmentation, multiple), positions, _stack_images, workers)


_Crop = tuple[Tensor, np.ndarray, int]
_Image = tuple[Tensor, np.ndarray, int]


@dataclass(frozen=True)
class _TrainingCrops:
    """Reads and augments single images."""

    dataset: SegmentationSet
    segmentation: SegmentationSettings
    hflip_prob: float
    seed: int
    epoch: int

    def __call__(self, position: int, index: int) -> _Crop:
        """Pixels float32 (3, S, S), labels uint8 (S, S) and the number of an image, padded to the right and below."""
        picture = LabelledPicture(self.dataset.read(index), self.dataset.labels(index))
        with sample_generators(self.seed, self.epoch, position):
            picture = augment(picture, self.segmentation, self.hflip_prob)
        side = self.segmentation.crop_px
        pixels, labels = torch.zeros(3, side, side), np.full((side, side), IGNORED, np.uint8)
        height, width = picture.size
        pixels[:, :height, :width] = normalise_images(picture.pixels[None])[0]
        labels[:height, :width] = picture.labels
        return pixels, labels, index


@dataclass(frozen=True)
class _TestImages:
    """Reads single images and resizes them for the network; labels stay as they are."""

    dataset: SegmentationSet
    segmentation: SegmentationSettings
    multiple: int

    def __call__(self, position: int, index: int) -> _Image:
        """Pixels float32 (3, H, W), labels uint8 (h, w) and the number of an image."""
        pixels = network_pixels(self.dataset.read(index), self.segmentation, self.multiple)
        return normalise_images(pixels[None])[0], self.dataset.labels(index), index


def _stack_crops(samples: list[_Crop]) -> tuple[Tensor, Tensor, list[int]]:
    pixels, labels, indices = zip(*samples, strict=True)
    return torch.stack(pixels), torch.from_numpy(np.stack(labels)), list(indices)


def _stack_images(samples: list[_Image]) -> SegmentationEvaluationBatch:
    pixels, labels, indices = zip(*samples, strict=True)
    return SegmentationEvaluationBatch(torch.stack(pixels), list(labels), list(indices))
