"""Which images stand together in a batch, so that little of it is padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dit_bench.data.coco.detection_set import DetectionSet
from dit_bench.data.order import epoch_order
from dit_bench.errors import UsageError

BATCH_PX = 100 * 224**2
"""Pixels that a batch of an evaluation has at most, unless one image has more."""
PAD_MULTIPLE_PX = 32
"""Stride of the coarsest map: padded sides are multiples of it."""
_BATCH_ORDER = 3
"""Stream of random numbers beside those of `dit_bench.data.order`."""


def padded_size(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the smallest height and width, multiples of 32, that hold images of all these sizes."""
    height, width = (max(sides) for sides in zip(*sizes, strict=True))
    return -(-height // PAD_MULTIPLE_PX) * PAD_MULTIPLE_PX, -(-width // PAD_MULTIPLE_PX) * PAD_MULTIPLE_PX


def is_wide(dataset: DetectionSet) -> np.ndarray:
    """Return which images are wider than high, bool (n,): the two groups that training batches are drawn from."""
    sizes = np.array([dataset.size(k) for k in range(len(dataset))])
    return sizes[:, 1] > sizes[:, 0]


def detection_steps_per_epoch(dataset: DetectionSet, batch_size: int) -> int:
    """Return the number of batches of an epoch: both groups are rounded up to whole batches.

    Raises:
        UsageError: a batch is larger than the data set.
    """
    if batch_size > len(dataset):
        raise UsageError(
            f"optimiser.batch_size={batch_size} is larger than an epoch of {len(dataset)} images",
            remedy="choose a smaller batch or more images",
        )
    wide = int(is_wide(dataset).sum())
    return -(-wide // batch_size) + -(-(len(dataset) - wide) // batch_size)


def epoch_batches(wide: np.ndarray, batch_size: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the images of each batch of an epoch, int64 (steps, batch_size); depends on the arguments alone.

    Images are shuffled within the two groups, and a group's last batch is filled up from its beginning, so that
    every image comes at least once; then batches are shuffled (as mmdetection groups images by aspect ratio).
    """
    order = epoch_order(len(wide), 1, seed=seed, epoch=epoch)
    batches = []
    for group in (order[wide[order]], order[~wide[order]]):
        steps = -(-len(group) // batch_size)
        batches.append(np.resize(group, (steps, batch_size)))  # repeats the group from its beginning
    together = np.concatenate(batches)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_BATCH_ORDER, epoch)))
    return together[rng.permutation(len(together))]


def evaluation_groups(sizes: Sequence[tuple[int, int]], batch_size: int) -> list[list[int]]:
    """Return batches of image numbers that hold every image once, only images of one size at the network together.

    `sizes` are those sizes, padding included. So an image is computed as if it were alone, and nothing depends on the
    batch size, which is the most for small images and less for large ones. The largest images come first: where memory
    does not suffice, it shows at once.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for k, size in enumerate(sizes):
        groups.setdefault(size, []).append(k)
    batches = []
    for (height, width), group in sorted(groups.items(), key=lambda item: (-item[0][0] * item[0][1], item[0])):
        most = max(1, min(batch_size, BATCH_PX // (height * width)))
        batches += [group[first : first + most] for first in range(0, len(group), most)]
    return batches
