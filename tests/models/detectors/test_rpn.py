"""Proposals and their losses: order of the anchors, limits, suppression, and sums computed with torchvision's parts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou, clip_boxes_to_image

from dit_bench.models.detectors.rpn import ProposalLimits, RegionProposals, ScoredAnchors
from dit_bench.models.detectors.structures import Objects

NO_OBJECTS = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def grids(height: int, width: int) -> list[tuple[int, int]]:
    return [(math.ceil(height / stride), math.ceil(width / stride)) for stride in (4, 8, 16, 32, 64)]


def levels_of(height: int, width: int, batch: int = 1, channels: int = 2) -> list[Tensor]:
    return [torch.randn(batch, channels, *grid) for grid in grids(height, width)]


def network(*, outside: bool = True, beta: float = 0.0, channels: int = 2) -> RegionProposals:
    torch.manual_seed(0)
    return RegionProposals(channels, outside=outside, beta=beta)


@torch.no_grad()
def test_the_best_score_and_its_deltas_belong_to_the_anchor_of_that_cell() -> None:
    rpn = network(channels=1)
    for layer in (rpn.shared, rpn.objectness, rpn.deltas):
        layer.weight.zero_()
    rpn.shared.weight[0, 0, 1, 1] = 1.0
    # Of the three shapes of a cell the last, twice as high as wide, is moved right by a tenth of its width.
    rpn.objectness.weight[:] = torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]
    rpn.deltas.weight[8] = 0.1
    levels = [torch.zeros(2, 1, *grid) for grid in grids(96, 128)]
    levels[1][1, 0, 5, 7] = 1.0
    scored = rpn(levels)
    assert [logits.shape for logits in scored.logits] == [(2, 3 * h * w) for h, w in grids(96, 128)]
    first, second = rpn.propose(scored, [(96, 128)] * 2, ProposalLimits(10, 1))
    width, height = 64 / math.sqrt(2), 64 * math.sqrt(2)
    x, y = 7 * 8 + 0.1 * width, 5 * 8
    expected = torch.tensor([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    expected[1::2].clamp_(0, 96)
    torch.testing.assert_close(second[0], expected, rtol=0, atol=1e-4)
    assert len(first) == 1


@pytest.mark.parametrize("limits", [ProposalLimits(2000, 1000), ProposalLimits(50, 1000), ProposalLimits(200, 60)])
def test_proposals_keep_to_limits_image_and_suppression(limits: ProposalLimits) -> None:
    rpn = network()
    scored = rpn(levels_of(64, 96, batch=2))
    scored = ScoredAnchors(
        scored.anchors,
        [torch.randn_like(logits) for logits in scored.logits],
        [0.3 * torch.randn_like(deltas) for deltas in scored.deltas],
    )
    sizes = [(64, 96), (50, 49)]
    for image, (proposals, (height, width)) in enumerate(zip(rpn.propose(scored, sizes, limits), sizes, strict=True)):
        assert 0 < len(proposals) <= limits.total
        assert len(proposals) <= 5 * limits.per_level
        assert not proposals.requires_grad
        assert proposals.min() >= 0
        assert proposals[:, 2].max() <= width
        assert proposals[:, 3].max() <= height
        assert ((proposals[:, 2:] - proposals[:, :2]) > 0).all()
        # Step by step: the best of every level, clipped, nothing that overlaps a better one of its level by over 0.7.
        coder, candidates = BoxCoder((1.0, 1.0, 1.0, 1.0)), []
        for anchors, logits, deltas in zip(scored.anchors, scored.logits, scored.deltas, strict=True):
            order = logits[image].argsort(descending=True)[: limits.per_level]
            boxes = clip_boxes_to_image(coder.decode(deltas[image, order], [anchors[order]])[:, 0], (height, width))
            overlaps = (box_iou(boxes, boxes) > 0.7).tolist()
            kept: list[int] = []
            for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
                if x2 > x1 and y2 > y1 and not any(overlaps[k][other] for other in kept):
                    kept.append(k)
            candidates += [(logits[image, order[k]].item(), boxes[k]) for k in kept]
        expected = torch.stack([box for _, box in sorted(candidates, key=lambda pair: -pair[0])[: limits.total]])
        torch.testing.assert_close(proposals, expected, rtol=0, atol=1e-3)


def positives_by_definition(boxes: Tensor, anchors: Tensor) -> dict[int, int]:
    """Anchor → object by the rule of the paper: IoU ≥ 0.7, or an object's best, if at least 0.3."""
    iou = box_iou(boxes, anchors)
    found = {int(k): int(iou[:, k].argmax()) for k in (iou.amax(0) >= 0.7).nonzero()}
    for number, row in enumerate(iou):
        if row.max() >= 0.3:
            found |= {int(k): number for k in (row == row.max()).nonzero()}
    return found


@pytest.mark.parametrize("beta", [0.0, 1 / 9])
def test_losses_of_a_network_without_an_opinion(beta: float) -> None:
    """All logits and deltas 0: ln 2 per sample, and the distance of all positives' targets from 0."""
    rpn = network(beta=beta)
    for parameter in rpn.parameters():
        torch.nn.init.zeros_(parameter)
    scored = rpn(levels_of(128, 160, batch=2))
    anchors = torch.cat(scored.anchors)
    known = [
        Objects(torch.tensor([[10.0, 20.0, 45.0, 60.0], [60.0, 30.0, 150.0, 100.0]]), torch.tensor([0, 1])),
        Objects(torch.tensor([[5.0, 5.0, 30.0, 90.0]]), torch.tensor([0])),
    ]
    total, num_positives = 0.0, 0
    for objects in known:
        positives = positives_by_definition(objects.boxes, anchors)
        chosen, matched = list(positives), list(positives.values())
        targets = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(objects.boxes[matched], anchors[chosen])
        total += functional.smooth_l1_loss(targets, torch.zeros_like(targets), beta=beta, reduction="sum").item()
        num_positives += len(positives)
    assert 3 <= num_positives < 128
    losses = rpn.losses(scored, [(128, 160)] * 2, known)
    assert losses["rpn.box"].item() == pytest.approx(total / (2 * 256), rel=1e-4)
    assert losses["rpn.classification"].item() == pytest.approx(math.log(2), rel=1e-5)


def test_the_right_opinion_costs_nothing() -> None:
    rpn = network()
    scored = rpn(levels_of(128, 160))
    objects = Objects(torch.tensor([[10.0, 20.0, 45.0, 60.0], [60.0, 30.0, 150.0, 100.0]]), torch.tensor([0, 1]))
    positives = list(positives_by_definition(objects.boxes, torch.cat(scored.anchors)))
    sizes = [len(anchors) for anchors in scored.anchors]
    for sign, expected in ((1.0, 0.0), (-1.0, 20.0)):
        right = torch.full((1, sum(sizes)), -20.0)
        right[0, positives] = 20.0
        scored = ScoredAnchors(scored.anchors, list((sign * right).split(sizes, dim=1)), scored.deltas)
        loss = rpn.losses(scored, [(128, 160)], [objects])["rpn.classification"]
        assert loss.item() == pytest.approx(expected, abs=1e-4)


def learning(rpn: RegionProposals, size: tuple[int, int], padded: tuple[int, int], objects: Objects) -> Tensor:
    """Which anchors ever learn objectness, over many samples."""
    scored = rpn(levels_of(*padded))
    logits = [torch.zeros_like(level, requires_grad=True) for level in scored.logits]
    scored = ScoredAnchors(scored.anchors, logits, scored.deltas)
    for _ in range(40):
        rpn.losses(scored, [size], [objects])["rpn.classification"].backward()
    gradients = [level.grad for level in logits if level.grad is not None]
    return torch.cat(gradients, dim=1)[0] != 0


@pytest.mark.parametrize("outside", [True, False])
def test_which_anchors_learn(outside: bool) -> None:
    rpn = network(outside=outside)
    # Alone, the image would be padded to 64 x 64; in this batch it is padded to 96 x 128.
    height, width = 40, 50
    learnt = learning(rpn, (height, width), (96, 128), NO_OBJECTS)
    anchors = torch.cat(rpn(levels_of(96, 128)).anchors)
    if outside:
        x, y = ((anchors[:, :2] + anchors[:, 2:]) / 2).round().unbind(1)
        expected = (x < 64) & (y < 64)
    else:
        expected = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2] < width) & (anchors[:, 3] < height)
    assert 0 < expected.sum() < len(anchors)
    assert not (learnt & ~expected).any()
    assert learnt.sum() >= 0.99 * expected.sum()


@pytest.mark.parametrize("outside", [True, False])
def test_without_objects_there_are_only_negatives(outside: bool) -> None:
    rpn = network(outside=outside)
    losses = rpn.losses(rpn(levels_of(64, 64)), [(64, 64)], [NO_OBJECTS])
    assert losses["rpn.box"] == 0
    assert 0 < losses["rpn.classification"] < 2
    (losses["rpn.box"] + losses["rpn.classification"]).backward()
    assert all(parameter.grad is not None for parameter in rpn.parameters())


def test_an_image_in_which_no_anchor_fits_teaches_nothing() -> None:
    rpn = network(outside=False)
    losses = rpn.losses(
        rpn(levels_of(32, 32)), [(20, 20)], [Objects(torch.tensor([[1.0, 1, 9, 9]]), torch.tensor([0]))]
    )
    assert [loss.item() for loss in losses.values()] == [0, 0]
    torch.stack(list(losses.values())).sum().backward()
