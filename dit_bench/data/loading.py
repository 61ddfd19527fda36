"""Data sets by their settings, and their batches for training and evaluation.

Nothing here depends on how many workers read, or on where a training run was resumed: the order of an epoch comes
from (seed, epoch), the augmentation of a sample from (seed, epoch, position).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dit_bench.data.imagenet import LAYOUT, SOURCE, ImageFolderSet
from dit_bench.data.order import epoch_length, epoch_order, epoch_shifts, sample_generators
from dit_bench.data.plugin_set import PluginSet, dataset_plugin
from dit_bench.data.reading import read_batches
from dit_bench.data.scenes.scene_set import SceneSet, load_scenes
from dit_bench.data.scenes.sources import Split
from dit_bench.data.transforms import (
    PAPERS_PREPROCESSING,
    ImageTransform,
    Preprocessing,
    evaluation_transform,
    normalise_images,
    shift_images,
    training_transform,
)
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.plugin_names import OWN_DATASETS
from dit_bench.recipes.settings import AugmentSettings, DataSettings


class Dataset(Protocol):
    """A split of labelled images."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in class order."""
        ...

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """Class of each image, int64 (n,)."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """Return image `index`, uint8 RGB (H, W, 3)."""
        ...

    def manifest_sha256(self) -> str:
        """Return the identity of the data in provenance."""
        ...


def build_dataset(settings: DataSettings, split: Split, cache_dir: Path | None = None) -> Dataset:
    """Return a split of the data set that the settings name; `cache_dir` holds generated scenes.

    In an ImageNet folder without `tune/`, the training split gives up its tuning images only when the settings
    evaluate on the tune split: with `eval_split: val` it is whole, as in the papers.

    Raises:
        DataError: a folder is missing or not in ImageNet's layout.
        UsageError: the scene settings cannot be drawn, or a data set of another package cannot be used.
    """
    plugin = dataset_plugin(settings.dataset)
    if plugin is not None:
        return PluginSet(plugin, split, settings)
    if settings.dataset == "digit_scenes":
        return load_scenes(split, settings, cache_dir)
    if settings.root is None:
        raise DataError(
            "data.root is not set, so there is no ImageNet folder to read",
            remedy=f"pass data.root=ROOT with {LAYOUT}; {SOURCE}",
        )
    root = Path(settings.root).expanduser()
    return ImageFolderSet(root, split, exclude_tune=settings.eval_split == "tune")


def check_augment(data: DataSettings, augment: AugmentSettings) -> None:
    """Refuse augmentation settings that the data set does not have, before any work starts.

    Raises:
        UsageError: names the key and the value.
    """
    if data.dataset == "imagenet" or data.dataset not in OWN_DATASETS:
        if augment.shift_px:
            raise UsageError(
                f"augment.shift_px={augment.shift_px} is for digit scenes, but data.dataset is {data.dataset}",
                remedy="use augment.random_resized_crop=true",
            )
        training_transform(data, augment)
        return
    unused = AugmentSettings()
    for key in ("random_resized_crop", "hflip_prob", "rand_augment", "random_erasing_prob"):
        if getattr(augment, key) != getattr(unused, key):
            raise UsageError(
                f"augment.{key}={getattr(augment, key)} is for image folders, but data.dataset is digit_scenes",
                remedy="use augment.shift_px, mixup and cutmix for digit scenes",
            )


def steps_per_epoch(dataset: Dataset, augment: AugmentSettings, batch_size: int) -> int:
    """Return the number of full batches of an epoch.

    Raises:
        UsageError: there are fewer samples than one batch needs.
    """
    length = epoch_length(len(dataset), augment.repeated_augmentation)
    if length < batch_size:
        raise UsageError(
            f"optimiser.batch_size={batch_size} is larger than an epoch of {length} images",
            remedy="choose a smaller batch or more images",
        )
    return length // batch_size


def training_batches(
    dataset: Dataset,
    data: DataSettings,
    augment: AugmentSettings,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    start_step: int = 0,
    workers: int = 0,
    rows: np.ndarray | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of an epoch from `start_step` on: float32 (B, 3, H, W) and labels int64 (B,).

    The last incomplete batch is dropped. With `rows` only these places of every batch are read. Digit scenes come
    from memory, so `workers` concerns image folders only.

    Raises:
        DataError: an image cannot be read; the message names it.
        UsageError: the augmentation does not suit the data set, or the batch is larger than the epoch.
    """
    check_augment(data, augment)
    steps = steps_per_epoch(dataset, augment, batch_size)
    order = epoch_order(len(dataset), augment.repeated_augmentation, seed=seed, epoch=epoch)
    rows = np.arange(batch_size) if rows is None else rows
    spans = [step * batch_size + rows for step in range(start_step, steps)]
    if isinstance(dataset, SceneSet):
        shifts = epoch_shifts(len(order), augment.shift_px, seed=seed, epoch=epoch)
        return _scene_training_batches(dataset, order, shifts, spans)
    read = _Reader(dataset, training_transform(data, augment), (seed, epoch))
    positions = ([(k, int(order[k])) for k in span.tolist()] for span in spans)
    return ((images, labels) for _, images, labels in read_batches(read, positions, _stack, workers))


def evaluation_batches(
    dataset: Dataset,
    data: DataSettings,
    *,
    batch_size: int,
    workers: int = 0,
    preprocessing: Preprocessing = PAPERS_PREPROCESSING,
    only: slice = slice(None),
    lenient: bool = False,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield each image exactly once, in order: image numbers int64 (B,), float32 (B, 3, H, W), labels int64 (B,).

    With `only` some of the batches. `preprocessing` is for image folders; digit scenes have one of their own. With
    `lenient` an image that cannot be read stops nothing: it is black, and its number k is given as −1 − k.

    Raises:
        DataError: an image cannot be read; the message names it.
    """
    spans = [range(k, min(k + batch_size, len(dataset))) for k in range(0, len(dataset), batch_size)][only]
    if isinstance(dataset, SceneSet):
        return _scene_evaluation_batches(dataset, spans)
    read = _Reader(dataset, evaluation_transform(data, preprocessing), None, lenient)
    return read_batches(read, ([(k, k) for k in span] for span in spans), _stack, workers)


def _scene_training_batches(
    scenes: SceneSet, order: np.ndarray, shifts: np.ndarray, spans: list[np.ndarray]
) -> Iterator[tuple[Tensor, Tensor]]:
    for span in spans:
        images = scenes.images[order[span]]
        if shifts[span].any():
            images = shift_images(images, shifts[span])
        yield normalise_images(images), torch.from_numpy(scenes.labels[order[span]])


def _scene_evaluation_batches(scenes: SceneSet, spans: list[range]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    for span in spans:
        part = slice(span.start, span.stop)
        labels = torch.from_numpy(scenes.labels[part].copy())
        yield torch.arange(span.start, span.stop), normalise_images(scenes.images[part]), labels


Sample = tuple[int, Tensor, int]


class _Reader:
    """Reads and transforms single images, in the main process or in a worker."""

    def __init__(
        self, dataset: Dataset, transform: ImageTransform, seeds: tuple[int, int] | None, lenient: bool = False
    ):
        self.dataset = dataset
        self.transform = transform
        self.seeds = seeds
        self.lenient = lenient

    def __call__(self, position: int, index: int) -> Sample:
        """Number, float32 (3, H, W) and label of an image."""
        try:
            image = Image.fromarray(self.dataset.read(index))
        except DataError:
            if not self.lenient:
                raise
            return -1 - index, self.transform(Image.new("RGB", (64, 64))), int(self.dataset.labels[index])
        if self.seeds is None:
            tensor = self.transform(image)
        else:
            with sample_generators(*self.seeds, position):
                tensor = self.transform(image)
        return index, tensor, int(self.dataset.labels[index])


def _stack(samples: list[Sample]) -> tuple[Tensor, Tensor, Tensor]:
    indices, images, labels = zip(*samples, strict=True)
    return torch.tensor(indices), torch.stack(images), torch.tensor(labels)
