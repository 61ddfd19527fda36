"""From a segmenter's logits to one label per pixel of the original image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dit_bench.cost.formulas import Grid
from dit_bench.data.segmentation.segmentation_set import IGNORED
from dit_bench.errors import DataError

MOST_VALUES = 2**24
"""Largest number of resized logits at a time; 64 MiB."""


def predict_labels(logits: Tensor, size: Grid, *, through: Grid | None = None) -> Tensor:
    """Return the class of each pixel, uint8 (H, W) for `size`, of one image's logits `(K, h, w)`.

    Logits, not labels, are resized, bilinearly with corners not aligned, in single precision; the lowest of equally
    good classes wins. Where `through` gives the network's input size, they are resized to it first and then on to
    `size`, in two steps as mmsegmentation does it.

    Classes are resized in groups of at most `MOST_VALUES` values, so that 150 of them on a large image fit into
    memory; the labels are the same.

    Raises:
        DataError: a logit is not finite, so no class can be told.
    """
    classes = len(logits)
    assert 0 < classes <= IGNORED
    if not bool(torch.isfinite(logits).all()):
        raise DataError(
            "the segmenter's logits are not finite numbers", remedy="check the weights, or use numerics.amp=off"
        )
    largest = max(size[0] * size[1], 0 if through is None else through[0] * through[1])
    group = max(MOST_VALUES // largest, 1)
    best = torch.full(size, -torch.inf, device=logits.device)
    labels = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for first in range(0, classes, group):
        part = logits[None, first : first + group].float()
        for step in filter(None, (through, size)):
            part = functional.interpolate(part, size=step, mode="bilinear", align_corners=False)
        values, places = part[0].max(dim=0)
        better = values > best
        best = torch.where(better, values, best)
        labels = torch.where(better, (places + first).to(torch.uint8), labels)
    return labels
