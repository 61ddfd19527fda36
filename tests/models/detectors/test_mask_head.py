"""Mask targets against direct averages of the object's pixels, the loss on the object's own class only."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from dit_bench.models.detectors.mask_head import MaskHead, mask_logits_of, mask_loss, mask_targets
from dit_bench.models.detectors.roi_training import TrainingBatch, sample_regions
from dit_bench.models.detectors.structures import Objects


@torch.no_grad()
def test_the_head_is_torchvisions() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        ours = MaskHead(256, 80)
        theirs = nn.Sequential(MaskRCNNHeads(256, (256,) * 4, 1), MaskRCNNPredictor(256, 256, 80))
        count = sum(parameter.numel() for parameter in theirs.parameters())
        assert sum(parameter.numel() for parameter in ours.parameters()) == count
    ours = MaskHead(6, 3)
    theirs = nn.Sequential(MaskRCNNHeads(6, (6,) * 4, 1), MaskRCNNPredictor(6, 6, 3))
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    features = torch.randn(2, 6, 14, 14)
    torch.testing.assert_close(ours(features), theirs(features))
    assert ours(features).shape == (2, 3, 28, 28)


def test_targets_of_whole_pixels_are_their_averages() -> None:
    """A box of 28 times 2 (or 3) pixels: every cell is the average of 2 x 3 pixels, at least half of which are set."""
    torch.manual_seed(0)
    masks = torch.rand(3, 100, 120) > 0.5
    boxes = torch.tensor([[10.0, 4.0, 66.0, 88.0], [3.0, 7.0, 31.0, 35.0]])
    targets = mask_targets(masks, torch.tensor([2, 0]), boxes)
    cells = functional.avg_pool2d(masks[2:, 4:88, 10:66].float(), (3, 2))[0]
    assert torch.equal(targets[0], (cells > 0.49).float())
    assert torch.equal(targets[1], masks[0, 7:35, 3:31].float())


def test_targets_of_any_box_show_what_lies_below_their_cells() -> None:
    size = (90, 110)
    y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in size), indexing="ij")
    radius, centre = 30.0, (52.0, 44.0)
    masks = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2)[None]
    box = torch.tensor([[15.3, 9.8, 71.9, 80.1]])
    (target,) = mask_targets(masks, torch.tensor([0]), box)
    steps = (torch.arange(28) + 0.5) / 28
    columns = 15.3 + steps * (71.9 - 15.3)
    rows = 9.8 + steps * (80.1 - 9.8)
    distance = ((columns[None] - centre[0]) ** 2 + (rows[:, None] - centre[1]) ** 2).sqrt() - radius
    # Cells are 2.0 x 2.5 px; away from the edge by more than the half diagonal and a pixel there is no doubt.
    assert (target[distance < -2.6] == 1).all()
    assert (target[distance > 2.6] == 0).all()
    near = distance.abs() <= 2.6
    assert ((target == 1) == (distance < 0))[near].float().mean() > 0.85
    assert target.sum() == pytest.approx((distance < 0).sum().item(), rel=0.03)


def batch_and_logits(labels: list[int], num_classes: int) -> tuple[TrainingBatch, list[Objects], Tensor]:
    boxes = torch.tensor([[2.0, 3.0, 30.0, 31.0], [0.0, 0.0, 28.0, 56.0]])[: len(labels)]
    torch.manual_seed(0)
    objects = Objects(boxes, torch.tensor(labels, dtype=torch.int64), torch.rand(len(labels), 64, 64) > 0.5)
    empty = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 64, 64, dtype=torch.bool))
    far = torch.tensor([[50.0, 50.0, 60.0, 60.0]])
    regions = sample_regions([far, far], [empty, objects], num_classes=num_classes, iou=0.5, low_quality=False, count=8)
    logits = torch.randn(len(labels), num_classes, 28, 28, requires_grad=True)
    return TrainingBatch(regions), [empty, objects], logits


def test_only_the_objects_class_learns() -> None:
    batch, objects, logits = batch_and_logits([2, 0], 3)
    loss = mask_loss(logits, batch, objects)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad.abs().amax((2, 3)) > 0).tolist() == [[False, False, True], [True, False, False]]
    masks = objects[1].masks
    assert masks is not None
    cells = [
        masks[0, 3:31, 2:30].float(),
        (functional.avg_pool2d(masks[1:, :56, :28].float(), (2, 1))[0] > 0.49).float(),
    ]
    expected = 0.0
    for target, logit in zip(cells, (logits[0, 2], logits[1, 0]), strict=True):
        probability = logit.detach().sigmoid()
        expected -= (target * probability.log() + (1 - target) * (1 - probability).log()).mean().item() / 2
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_without_an_object_the_loss_is_zero_with_a_graph() -> None:
    batch, objects, logits = batch_and_logits([], 3)
    loss = mask_loss(logits, batch, objects)
    assert loss == 0
    loss.backward()
    assert logits.grad is not None


def test_undecided_masks_cost_one_bit() -> None:
    batch, objects, logits = batch_and_logits([1], 2)
    assert mask_loss(torch.zeros_like(logits), batch, objects).item() == pytest.approx(math.log(2))


def test_the_mask_of_a_class() -> None:
    logits = torch.randn(3, 4, 28, 28)
    chosen = mask_logits_of(logits, torch.tensor([3, 0, 1]))
    torch.testing.assert_close(chosen, torch.stack([logits[0, 3], logits[1, 0], logits[2, 1]]))
