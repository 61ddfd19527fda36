"""From pictures to network input: timm's training augmentation and the evaluation crop, ImageNet-normalised."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import RandAugment, posterize
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.data.transforms import RandomResizedCropAndInterpolation
from timm.data.transforms_factory import create_transform
from torch import Tensor
from torchvision.transforms import Compose

from dit_bench.errors import UsageError
from dit_bench.recipes.settings import AugmentSettings, DataSettings

ImageTransform = Callable[[Image.Image], Tensor]
"""RGB picture to float32 (3, image_size_px, image_size_px)."""

RAND_AUGMENT = re.compile(r"rand(-(m\d+|n\d+|p\d+(\.\d+)?|mstd\d+(\.\d+)?|mmax\d+|inc[01]))*")
"""What timm understands; it skips or asserts on anything else."""


@dataclass(frozen=True)
class Preprocessing:
    """How evaluation pictures become input beside the crop; the default is the papers' own."""

    interpolation: str = "bicubic"
    mean: tuple[float, ...] = IMAGENET_DEFAULT_MEAN
    std: tuple[float, ...] = IMAGENET_DEFAULT_STD


PAPERS_PREPROCESSING = Preprocessing()


def _evaluation_parts(data: DataSettings, preprocessing: Preprocessing = PAPERS_PREPROCESSING) -> list[Any]:
    """Steps of timm's evaluation transform in order: resize, centre crop, to tensor, normalise."""
    transform = create_transform(
        (3, data.image_size_px, data.image_size_px),
        is_training=False,
        interpolation=preprocessing.interpolation,
        crop_pct=data.eval_crop_fraction,
        crop_mode="center",
        mean=preprocessing.mean,
        std=preprocessing.std,
    )
    assert isinstance(transform, Compose)
    return list(transform.transforms)


def evaluation_transform(data: DataSettings, preprocessing: Preprocessing = PAPERS_PREPROCESSING) -> ImageTransform:
    """Return the evaluation transform: resize, centre crop, normalise.

    The short side becomes image_size_px / eval_crop_fraction, rounded down, as in timm.
    """
    return Compose(_evaluation_parts(data, preprocessing))


def training_transform(data: DataSettings, augment: AugmentSettings) -> ImageTransform:
    """Return timm's training augmentation: crop, flip, RandAugment, normalise, random erasing (DeiT's order).

    The random crop takes 8 to 100 % of the area at an aspect of 3/4 to 4/3, bicubic; without it the evaluation
    crop is used. Erased pixels are filled with noise, one rectangle per image. Mixup and cutmix work on batches and
    are not part of this. It draws from the global generators of `random`, `numpy` and `torch`.

    Raises:
        UsageError: `augment.rand_augment` is no RandAugment string of timm.
    """
    if augment.rand_augment is not None and not RAND_AUGMENT.fullmatch(augment.rand_augment):
        raise UsageError(
            f"augment.rand_augment={augment.rand_augment!r} is no RandAugment string",
            remedy="write it as in rand-m9-mstd0.5-inc1 (parts m, n, p, mstd, mmax, inc)",
        )
    transform = create_transform(
        (3, data.image_size_px, data.image_size_px),
        is_training=True,
        scale=(0.08, 1.0),
        ratio=(3 / 4, 4 / 3),
        hflip=augment.hflip_prob,
        color_jitter=0.0,
        auto_augment=augment.rand_augment,
        interpolation="bicubic",
        mean=IMAGENET_DEFAULT_MEAN,
        std=IMAGENET_DEFAULT_STD,
        re_prob=augment.random_erasing_prob,
        re_mode="pixel",
    )
    assert isinstance(transform, Compose)
    steps = list(transform.transforms)
    if not augment.random_resized_crop:
        assert isinstance(steps[0], RandomResizedCropAndInterpolation)
        steps[:1] = _evaluation_parts(data)[:2]
    for step in steps:
        if isinstance(step, RandAugment):
            for operation in step.ops:
                if operation.aug_fn is posterize:
                    operation.aug_fn = _posterise
    return Compose(steps)


def _posterise(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    """Posterise as timm does; 0 bits, which RandAugment's strongest magnitude asks for, give a black image.

    Pillow gave that image itself until it came to refuse the value.
    """
    return posterize(image, bits, **options) if bits else Image.new(image.mode, image.size)


def normalise_images(images: np.ndarray) -> Tensor:
    """Return uint8 images (B, H, W, 3) as float32 (B, 3, H, W), minus ImageNet's mean, over its standard deviation."""
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()
    mean = torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1)
    return pixels.div_(255).sub_(mean).div_(std)


def denormalise_images(images: Tensor) -> np.ndarray:
    """Return network input float (B, 3, H, W) as uint8 images (B, H, W, 3); inverse of `normalise_images`."""
    mean = torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1)
    pixels = images.detach().float().cpu().mul(std).add_(mean).mul_(255).round_().clamp_(0, 255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def shift_images(images: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return uint8 images (B, H, W, 3) moved down and right by `shifts` int (B, 2) pixels; edges are replicated."""
    _, height, width, _ = images.shape
    rows = np.clip(np.arange(height) - shifts[:, :1], 0, height - 1)
    columns = np.clip(np.arange(width) - shifts[:, 1:], 0, width - 1)
    return images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
