"""Samples and batches of detection sets for training and evaluation.

Nothing here depends on how many workers read, or on where a training run was resumed: the batches of an epoch come
from (seed, epoch), the augmentation of a sample from (seed, epoch, position).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dit_bench.data.coco.detection_set import DetectionSet
from dit_bench.data.coco.grouping import (
    detection_steps_per_epoch,
    epoch_batches,
    evaluation_groups,
    is_wide,
    padded_size,
)
from dit_bench.data.coco.transforms import Picture, augment, resize, resized_size
from dit_bench.data.order import sample_generators
from dit_bench.data.reading import Position, read_batches
from dit_bench.data.transforms import normalise_images
from dit_bench.errors import UsageError
from dit_bench.recipes.dense_settings import DetectionSettings
from dit_bench.recipes.settings import DataSettings


@dataclass(frozen=True)
class DetectionSample:
    """One image ready for a detector."""

    index: int
    """Number in the data set."""
    image_id: int
    pixels: Tensor
    """`(3, h, w)` float32, minus ImageNet's mean, over its standard deviation."""
    original_size: tuple[int, int]
    """Height and width in the file."""
    boxes: Tensor
    """`(n, 4)` float32, x1, y1, x2, y2 in pixels of the resized image."""
    labels: Tensor
    """`(n,)` int64, 0 … K − 1."""
    masks: Tensor | None
    """`(n, h, w)` bool; None where they were not asked for."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of `pixels`."""
        return self.pixels.shape[1], self.pixels.shape[2]


@dataclass(frozen=True)
class DetectionBatch:
    """Images of different sizes, padded to the right and below; every list has one entry per image."""

    pixels: Tensor
    """`(B, 3, H, W)` float32, zero where padded (which is ImageNet's mean); H and W are multiples of 32."""
    sizes: list[tuple[int, int]]
    """Height and width of each image before padding."""
    indices: list[int]
    image_ids: list[int]
    original_sizes: list[tuple[int, int]]
    boxes: list[Tensor]
    labels: list[Tensor]
    masks: list[Tensor] | None


def collate_samples(samples: list[DetectionSample]) -> DetectionBatch:
    """Return samples as one batch, in their order; either all have masks or none has."""
    sizes = [sample.size for sample in samples]
    pixels = torch.zeros(len(samples), 3, *padded_size(sizes))
    for image, sample in zip(pixels, samples, strict=True):
        image[:, : sample.size[0], : sample.size[1]] = sample.pixels
    masks = [sample.masks for sample in samples if sample.masks is not None]
    assert len(masks) in (0, len(samples))
    return DetectionBatch(
        pixels=pixels,
        sizes=sizes,
        indices=[sample.index for sample in samples],
        image_ids=[sample.image_id for sample in samples],
        original_sizes=[sample.original_size for sample in samples],
        boxes=[sample.boxes for sample in samples],
        labels=[sample.labels for sample in samples],
        masks=masks or None,
    )


def pad_batch(batch: DetectionBatch, size: Sequence[int]) -> DetectionBatch:
    """Return a batch padded further, to (height, width)."""
    height, width = size[0] - batch.pixels.shape[2], size[1] - batch.pixels.shape[3]
    if height == width == 0:
        return batch
    return replace(batch, pixels=functional.pad(batch.pixels, (0, width, 0, height)))


def take_images(batch: DetectionBatch, rows: Sequence[int]) -> DetectionBatch:
    """Return some images of a batch as a batch of their own, padded as before."""
    return DetectionBatch(
        pixels=batch.pixels[list(rows)],
        sizes=[batch.sizes[k] for k in rows],
        indices=[batch.indices[k] for k in rows],
        image_ids=[batch.image_ids[k] for k in rows],
        original_sizes=[batch.original_sizes[k] for k in rows],
        boxes=[batch.boxes[k] for k in rows],
        labels=[batch.labels[k] for k in rows],
        masks=None if batch.masks is None else [batch.masks[k] for k in rows],
    )


def detection_training_batches(
    dataset: DetectionSet,
    data: DataSettings,
    detection: DetectionSettings,
    hflip_prob: float,
    *,
    masks: bool,
    batch_size: int,
    seed: int,
    epoch: int,
    start_step: int = 0,
    workers: int = 0,
    rows: np.ndarray | None = None,
) -> Iterator[DetectionBatch]:
    """Yield the batches of an epoch from `start_step` on; wide and high images are never in one batch.

    With `rows` only these places of every batch are read.

    Raises:
        DataError: an image cannot be read, or masks are asked for and an object has none; the message names it.
        UsageError: the batch is larger than the data set, or digits would be mirrored.
    """
    check_mirroring(data, hflip_prob)
    detection_steps_per_epoch(dataset, batch_size)
    if masks:
        dataset.check_masks()
    read = _Reader(dataset, detection, masks, (seed, epoch, hflip_prob))
    batches = epoch_batches(is_wide(dataset), batch_size, seed=seed, epoch=epoch)
    places = range(batch_size) if rows is None else rows.tolist()
    positions = (
        [(step * batch_size + k, int(batches[step][k])) for k in places] for step in range(start_step, len(batches))
    )
    return _unpacked(read, positions, workers)


def detection_evaluation_batches(
    dataset: DetectionSet,
    detection: DetectionSettings,
    *,
    masks: bool = False,
    batch_size: int,
    workers: int = 0,
    only: slice = slice(None),
) -> Iterator[DetectionBatch]:
    """Yield each image exactly once, in batches of one padded size; `indices` says which images they are.

    With `only` some of the batches.

    Raises:
        DataError: an image cannot be read; the message names it.
    """
    limits = detection.test_short_side_px, detection.max_long_side_px
    sizes = [padded_size([resized_size(dataset.size(k), *limits)]) for k in range(len(dataset))]
    groups = evaluation_groups(sizes, batch_size)[only]
    return _unpacked(_Reader(dataset, detection, masks, None), ([(k, k) for k in group] for group in groups), workers)


def check_mirroring(data: DataSettings, hflip_prob: float) -> None:
    """Refuse to mirror digits, before any work starts.

    Raises:
        UsageError: names the key and the value.
    """
    if data.dataset == "digit_scenes" and hflip_prob > 0:
        raise UsageError(
            f"augment.hflip_prob={hflip_prob} is for photographs, but data.dataset is digit_scenes",
            remedy="set augment.hflip_prob=0; a mirrored digit is another sign",
        )


class _Reader:
    """Reads and transforms single images, in the main process or in a worker."""

    def __init__(
        self,
        dataset: DetectionSet,
        detection: DetectionSettings,
        masks: bool,
        training: tuple[int, int, float] | None,
    ):
        self.dataset = dataset
        self.detection = detection
        self.masks = masks
        self.training = training
        """Seed, epoch and probability of mirroring."""

    def __call__(self, position: int, index: int) -> DetectionSample:
        pixels = self.dataset.read(index)
        objects = self.dataset.objects(index, masks=self.masks)
        picture = Picture(pixels, objects.boxes, objects.labels, objects.masks)
        if self.training is None:
            picture = resize(picture, self.detection.test_short_side_px, self.detection.max_long_side_px)
        else:
            seed, epoch, hflip_prob = self.training
            with sample_generators(seed, epoch, position):
                picture = augment(picture, self.detection, hflip_prob)
        masks = None if picture.masks is None else torch.from_numpy(np.ascontiguousarray(picture.masks))
        return DetectionSample(
            index=index,
            image_id=self.dataset.image_id(index),
            pixels=normalise_images(picture.pixels[None])[0],
            original_size=self.dataset.size(index),
            boxes=torch.from_numpy(picture.boxes).float(),
            labels=torch.from_numpy(picture.labels.copy()),
            masks=masks,
        )


@dataclass(frozen=True)
class _Parcel:
    """A batch on its way from a worker: few tensors, since each one sent takes an open file on both sides."""

    batch: DetectionBatch
    """Without its objects."""
    counts: list[int]
    boxes: Tensor
    labels: Tensor
    masks: Tensor | None

    @classmethod
    def pack(cls, batch: DetectionBatch) -> _Parcel:
        masks = None if batch.masks is None else torch.cat([masks.flatten() for masks in batch.masks])
        bare = replace(batch, boxes=[], labels=[], masks=None)
        counts = [len(labels) for labels in batch.labels]
        return cls(bare, counts, torch.cat(batch.boxes), torch.cat(batch.labels), masks)

    def unpack(self) -> DetectionBatch:
        masks = None
        if self.masks is not None:
            shapes = [(count, *size) for count, size in zip(self.counts, self.batch.sizes, strict=True)]
            parts = self.masks.split([count * height * width for count, height, width in shapes])
            masks = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
        boxes, labels = self.boxes.split(self.counts), self.labels.split(self.counts)
        return replace(self.batch, boxes=list(boxes), labels=list(labels), masks=masks)


def _pack_samples(samples: list[DetectionSample]) -> _Parcel:
    return _Parcel.pack(collate_samples(samples))


def _unpacked(read: _Reader, positions: Iterable[list[Position]], workers: int) -> Iterator[DetectionBatch]:
    return (parcel.unpack() for parcel in read_batches(read, positions, _pack_samples, workers))
