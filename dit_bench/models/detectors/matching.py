"""Which reference box learns which object: by overlap (MaxIoUAssigner of mmdetection) or by ATSS.

A match is an int64 per reference: the object's index, `NEGATIVE` for background, `IGNORED` for neither.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

NEGATIVE, IGNORED = -1, -2

SMALLEST_CENTRE_DISTANCE_PX = 0.01
"""How far inside an object the centre of its ATSS candidates must lie at least."""


def overlaps(boxes: Tensor, references: Tensor) -> Tensor:
    """IoU `(n_boxes, n_references)` in float32; 0 where neither has an area."""
    return box_iou(boxes.float(), references.float()).nan_to_num(0.0)


@torch.no_grad()
def match_by_iou(
    boxes: Tensor, references: Tensor, *, positive: float, negative: float, min_positive: float, low_quality: bool
) -> Tensor:
    """Match each of the references `(n, 4)` with one of the boxes `(g, 4)`, or with none; int64 `(n,)`.

    A reference learns its best object from an IoU of `positive` on, is background below `negative` and ignored in
    between. With `low_quality`, all references that tie for an object's best IoU learn that object besides, the last
    such object where there are several, if this IoU is at least `min_positive` (and above 0: mmdetection hands an
    object that touches no reference to every reference).
    """
    matches = references.new_full((references.shape[0],), NEGATIVE, dtype=torch.int64)
    if boxes.shape[0] == 0 or references.shape[0] == 0:
        return matches
    iou = overlaps(boxes, references)
    best, of_object = iou.max(dim=0)
    matches = torch.where(best < negative, matches, IGNORED)
    matches = torch.where(best >= positive, of_object, matches)
    if low_quality:
        best_of_object = iou.amax(dim=1, keepdim=True)
        eligible = (best_of_object >= min_positive) & (best_of_object > 0)
        numbers = torch.arange(boxes.shape[0], device=boxes.device)[:, None]
        last = torch.where((iou == best_of_object) & eligible, numbers, -1).amax(dim=0)
        matches = torch.where(last >= 0, last, matches)
    return matches


@torch.no_grad()
def match_atss(boxes: Tensor, level_anchors: list[Tensor], *, topk: int = 9) -> Tensor:
    """Match the anchors of all levels, one after the other, with the boxes `(g, 4)` by ATSS (arXiv 1912.02424, alg. 1).

    Candidates of an object are, on each level, the `topk` anchors whose centres are nearest to its own. It is learnt
    by those whose IoU reaches mean + standard deviation over its candidates and whose centre lies inside it; an anchor
    of several objects learns the one with the highest IoU. No anchor is ignored. int64 `(n,)`.
    """
    anchors = torch.cat(level_anchors).float()
    matches = anchors.new_full((anchors.shape[0],), NEGATIVE, dtype=torch.int64)
    if boxes.shape[0] == 0 or anchors.shape[0] == 0:
        return matches
    boxes = boxes.float()
    iou = overlaps(boxes, anchors)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    candidates = _nearest(boxes, centres, [level.shape[0] for level in level_anchors], topk)
    of_candidates = iou.gather(1, candidates)
    # The unbiased deviation of a single candidate is not defined; it is its own threshold.
    spread = of_candidates.std(dim=1) if candidates.shape[1] > 1 else torch.zeros_like(of_candidates[:, 0])
    threshold = of_candidates.mean(dim=1) + spread
    at = centres[candidates]
    margins = torch.cat([at - boxes[:, None, :2], boxes[:, None, 2:] - at], dim=2).amin(dim=2)
    chosen = (of_candidates >= threshold[:, None]) & (margins > SMALLEST_CENTRE_DISTANCE_PX)
    scores = torch.full_like(iou, -1.0).scatter(1, candidates, torch.where(chosen, of_candidates, -1.0))
    best, of_object = scores.max(dim=0)
    return torch.where(best >= 0, of_object, matches)


def _nearest(boxes: Tensor, centres: Tensor, level_sizes: list[int], topk: int) -> Tensor:
    """Numbers of the `topk` centres of each level nearest to each box's centre, `(g, sum over levels)`."""
    box_centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = (box_centres[:, None] - centres[None]).square().sum(dim=2)
    nearest, start = [], 0
    for size in level_sizes:
        level = distances[:, start : start + size]
        nearest.append(level.topk(min(topk, size), dim=1, largest=False).indices + start)
        start += size
    return torch.cat(nearest, dim=1)
