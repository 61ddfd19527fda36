"""Boxes x1, y1, x2, y2 in pixels, and their code relative to reference boxes (R-CNN, arXiv 1311.2524, appendix C)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid

LARGEST_LOG_RATIO = abs(math.log(16 / 1000))
"""Bound of |dw| and |dh| when decoding, so that no box grows or shrinks more than 62.5-fold (mmdetection)."""


def encode_deltas(boxes: Tensor, references: Tensor, stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """Offsets `(n, 4)` that turn each reference into its box, in units of `stds`.

    (dx, dy) is the shift of the centre over the reference's size, (dw, dh) the logarithm of the ratio of the sizes.
    """
    boxes, references = boxes.float(), references.float()
    centres, sizes = _centres_and_sizes(boxes)
    reference_centres, reference_sizes = _centres_and_sizes(references)
    shifts = (centres - reference_centres) / reference_sizes
    return torch.cat([shifts, torch.log(sizes / reference_sizes)], dim=-1) / boxes.new_tensor(stds)


def decode_deltas(
    deltas: Tensor,
    references: Tensor,
    stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    size: Grid | None = None,
) -> Tensor:
    """The boxes `(n, 4)` that `deltas` make of the references; clipped to an image of (height, width) if one is given.

    The inverse of `encode_deltas`, with |dw| and |dh| bounded; computed in float32.
    """
    deltas, references = deltas.float(), references.float()
    shifts, log_ratios = (deltas * deltas.new_tensor(stds)).split(2, dim=-1)
    reference_centres, reference_sizes = _centres_and_sizes(references)
    centres = reference_centres + shifts * reference_sizes
    half = reference_sizes * log_ratios.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp() / 2
    boxes = torch.cat([centres - half, centres + half], dim=-1)
    return boxes if size is None else clip_boxes(boxes, size)


def clip_boxes(boxes: Tensor, size: Grid) -> Tensor:
    """`(…, 4)` clipped to an image of (height, width)."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x, y], dim=-1).flatten(-2)


def paired_iou(boxes: Tensor, targets: Tensor) -> Tensor:
    """IoU `(n,)` of each box with the target in the same row, in float32; 0 where neither has an area."""
    boxes, targets = boxes.float(), targets.float()
    common = torch.minimum(boxes[:, 2:], targets[:, 2:]) - torch.maximum(boxes[:, :2], targets[:, :2])
    intersection = common.clamp(min=0).prod(dim=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) + (targets[:, 2:] - targets[:, :2]).prod(dim=1) - intersection
    return (intersection / union).nan_to_num(0.0)


def _centres_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    upper_left, lower_right = boxes[..., :2], boxes[..., 2:]
    return (upper_left + lower_right) / 2, lower_right - upper_left
