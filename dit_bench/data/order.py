"""Which image comes at which position of an epoch, and the random numbers that belong to a position."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from dit_bench.errors import UsageError

REPEATED_ROUND = 256
"""DeiT's repeated augmentation rounds the length of an epoch down to a multiple of this."""

_ORDER, _SHIFT, _SAMPLE = range(3)  # streams: independent for one (seed, epoch)


def _sequence(seed: int, stream: int, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(stream, *key))


def epoch_length(num_images: int, repeats: int) -> int:
    """Return the number of samples of an epoch, before the last incomplete batch is dropped.

    With repeated augmentation it is the number of images rounded down to a multiple of 256 (from 256 on): an epoch
    is no longer, but shows fewer different images (Touvron et al., DeiT; timm's RepeatAugSampler).
    """
    if repeats > 1 and num_images >= REPEATED_ROUND:
        return num_images // REPEATED_ROUND * REPEATED_ROUND
    return num_images


def epoch_order(num_images: int, repeats: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the image of each position of an epoch, int64 (epoch_length,); depends on the arguments alone.

    Each image stands `repeats` times in succession; every position draws its own augmentation.
    """
    permutation = np.random.default_rng(_sequence(seed, _ORDER, epoch)).permutation(num_images)
    return np.repeat(permutation, repeats)[: epoch_length(num_images, repeats)]


def epoch_shifts(length: int, shift_px: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the shift of each position of an epoch, int64 (length, 2) in -shift_px … shift_px (down, right)."""
    rng = np.random.default_rng(_sequence(seed, _SHIFT, epoch))
    return rng.integers(-shift_px, shift_px + 1, size=(length, 2))


def share_rows(count: int, number: int, of: int, *, mirrored: bool = False) -> np.ndarray:
    """Return which of `count` places in a batch are share `number` of `of`, int64, increasing.

    Shares differ by one place at most. With `mirrored` place k and place count − 1 − k are in one share, as mixing an
    image with its mirror place needs it; then they differ by two at most, and a share mirrors itself.

    Raises:
        UsageError: a share would be empty.
    """
    units = count // 2 if mirrored else count
    if units < of:
        kind = "pairs of images that are mixed" if mirrored else "images"
        raise UsageError(
            f"a batch of {units} {kind} cannot be shared out among {of} processes or portions",
            remedy="use fewer processes, a smaller --accumulation-steps or a larger optimiser.batch_size",
        )
    rows = np.arange(units * number // of, units * (number + 1) // of)
    return np.concatenate([rows, count - 1 - rows[::-1]]) if mirrored else rows


@contextmanager
def sample_generators(seed: int, epoch: int, position: int) -> Iterator[None]:
    """Seed the global generators of `random`, `numpy` and `torch` (CPU) for one sample, and restore them afterwards.

    timm's and torchvision's augmentations draw from them; so a sample depends on (seed, epoch, position) alone, and no
    other stream of random numbers notices.
    """
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    for_python, for_numpy, for_torch = _sequence(seed, _SAMPLE, epoch, position).generate_state(3).tolist()
    random.seed(for_python)
    np.random.seed(for_numpy)
    # not torch.manual_seed, which would reseed every accelerator as well
    torch.default_generator.manual_seed(for_torch)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])
