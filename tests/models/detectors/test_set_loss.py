"""Matching costs and losses by hand, and DETR's against another implementation of its criterion."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert

from dit_bench.models.detectors.relative_boxes import image_scales
from dit_bench.models.detectors.set_loss import NO_OBJECT, FocalClassTerm, Predictions, SetLoss, SoftmaxClassTerm
from dit_bench.models.detectors.structures import Objects


def _corners(boxes: Tensor) -> Tensor:
    return boxes


def _centres(boxes: Tensor) -> Tensor:
    return box_convert(boxes, "xyxy", "cxcywh")


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_focal_cost_is_positive_minus_negative_term() -> None:
    costs = FocalClassTerm().costs(torch.tensor([[_logit(0.8), _logit(0.1)]]), torch.tensor([1, 0, 1]))
    rare = -0.25 * 0.9**2 * math.log(0.1) + 0.75 * 0.1**2 * math.log(0.9)
    likely = -0.25 * 0.2**2 * math.log(0.8) + 0.75 * 0.8**2 * math.log(0.2)
    assert costs.tolist() == [pytest.approx([rare, likely, rare], abs=1e-6)]


def test_focal_loss_counts_every_class_of_every_prediction() -> None:
    """Two predictions, two classes; the first is class 1, the second nothing."""
    logits = torch.tensor([[_logit(0.3), _logit(0.6)], [_logit(0.2), _logit(0.05)]])
    expected = -0.25 * 0.4**2 * math.log(0.6)
    expected -= 0.75 * (0.3**2 * math.log(0.7) + 0.2**2 * math.log(0.8) + 0.05**2 * math.log(0.95))
    loss = FocalClassTerm().loss(logits, torch.tensor([1, NO_OBJECT]), torch.tensor(2.0))
    assert float(loss) == pytest.approx(expected / 2, abs=1e-6)


def test_softmax_cost_is_minus_the_probability() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log()
    costs = SoftmaxClassTerm().costs(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(costs, torch.tensor([[-0.3, -0.5], [-0.1, -0.1]]))


def test_softmax_loss_gives_the_background_a_tenth() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]]).log()
    loss = SoftmaxClassTerm().loss(logits, torch.tensor([1, NO_OBJECT, NO_OBJECT]), torch.tensor(1.0))
    expected = -(math.log(0.3) + 0.1 * math.log(0.8) + 0.1 * math.log(0.4)) / 1.2
    assert float(loss) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("coordinates", "distance"), [(_corners, 0.2 + 0.5), (_centres, 0.35 + 0.3)])
def test_cost_of_a_pair(coordinates: Any, distance: float) -> None:
    """Image of 100 x 50 (w x h): box 0 0 50 50, object 20 0 100 50; IoU 30 / 100, nothing of the hull is empty.

    Two corners differ by 0.2 and 0.5 of the width; centres are at 0.25 and 0.6, widths are 0.5 and 0.8.
    """
    loss = SetLoss(SoftmaxClassTerm(), coordinates, class_weight=1.0)
    scale = image_scales([(50, 100)], torch.device("cpu"))[0]
    found = Objects(torch.tensor([[20.0, 0, 100, 50]]), torch.tensor([0]))
    cost = loss.costs(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([[0.0, 0, 50, 50]]), scale, found)
    assert float(cost) == pytest.approx(-0.25 + 5 * distance - 2 * 0.3, abs=1e-5)


def test_losses_of_two_images_by_hand() -> None:
    """Image 1 has one object, matched by its second prediction; image 2 has none."""
    loss = SetLoss(FocalClassTerm(), _corners, class_weight=2.0)
    flat = _logit(0.5)
    logits = torch.full((2, 2, 1), flat)
    boxes = torch.tensor([[[60.0, 0, 100, 20], [0, 0, 40, 50]], [[0, 0, 10, 10], [0, 0, 10, 10]]])
    objects = [
        Objects(torch.tensor([[0.0, 0, 50, 50]]), torch.tensor([0])),
        Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    ]
    terms = loss("stage", [Predictions(logits, boxes)], [(50, 100), (40, 40)], objects)
    assert set(terms) == {"stage1.classification", "stage1.l1", "stage1.giou"}
    assert float(terms["stage1.classification"]) == pytest.approx(2 * math.log(2) / 4 * (0.25 + 3 * 0.75), abs=1e-6)
    assert float(terms["stage1.l1"]) == pytest.approx(5 * 0.1, abs=1e-6)
    assert float(terms["stage1.giou"]) == pytest.approx(2 * (1 - 0.8), abs=1e-5)


@pytest.mark.parametrize(("classes", "channels"), [(FocalClassTerm(), 3), (SoftmaxClassTerm(), 4)])
def test_batch_without_objects(classes: Any, channels: int) -> None:
    loss = SetLoss(classes, _corners, class_weight=1.0)
    logits = torch.randn(2, 4, channels, requires_grad=True)
    boxes = torch.rand(2, 4, 4).mul(50).cumsum(-1).requires_grad_()
    nothing = [Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))] * 2
    terms = loss("layer", [Predictions(logits, boxes)], [(200, 200)] * 2, nothing)
    assert terms["layer1.classification"].item() > 0
    assert terms["layer1.l1"].item() == terms["layer1.giou"].item() == 0
    torch.stack(list(terms.values())).sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert boxes.grad is not None
    assert not bool(boxes.grad.any())


def test_more_objects_than_predictions() -> None:
    """The best of them are matched; both box terms are averages over the two predictions."""
    loss = SetLoss(SoftmaxClassTerm(), _corners, class_weight=1.0)
    exact = torch.tensor([[0.0, 0, 20, 20], [50.0, 50, 90, 90]])
    objects = Objects(torch.cat([torch.tensor([[5.0, 5, 99, 99]]), exact]), torch.tensor([0, 1, 2]))
    terms = loss("layer", [Predictions(torch.zeros(1, 2, 4), exact[None])], [(100, 100)], [objects])
    assert float(terms["layer1.l1"]) == pytest.approx(0, abs=1e-6)
    assert float(terms["layer1.giou"]) == pytest.approx(0, abs=1e-6)


def test_detrs_criterion_of_the_transformers_library() -> None:
    library = pytest.importorskip("transformers.loss.loss_for_object_detection")
    torch.manual_seed(0)
    sizes, num_classes = [(100, 160), (80, 90)], 5
    scales = image_scales(sizes, torch.device("cpu"))
    layers, outputs = [], []
    for _ in range(2):
        relative = torch.rand(2, 7, 4) * 0.4 + 0.3
        logits = torch.randn(2, 7, num_classes + 1) * 2
        layers.append(Predictions(logits, box_convert(relative, "cxcywh", "xyxy") * scales[:, None]))
        outputs.append({"logits": logits, "pred_boxes": relative})
    relative_targets = [torch.rand(count, 4) * 0.4 + 0.3 for count in (4, 2)]
    labels = [torch.randint(num_classes, (len(targets),)) for targets in relative_targets]
    objects = [
        Objects(box_convert(targets, "cxcywh", "xyxy") * scale, of_image)
        for targets, scale, of_image in zip(relative_targets, scales, labels, strict=True)
    ]
    matcher = library.HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    criterion = library.ImageLoss(matcher, num_classes, eos_coef=0.1, losses=["labels", "boxes"])
    targets = [
        {"class_labels": of_image, "boxes": boxes} for of_image, boxes in zip(labels, relative_targets, strict=True)
    ]
    ours = SetLoss(SoftmaxClassTerm(), _centres, class_weight=1.0)("layer", layers, sizes, objects)
    for number, output in enumerate(outputs, start=1):
        theirs = criterion(output, targets)
        assert float(ours[f"layer{number}.classification"]) == pytest.approx(float(theirs["loss_ce"]), rel=1e-5)
        assert float(ours[f"layer{number}.l1"]) == pytest.approx(5 * float(theirs["loss_bbox"]), rel=1e-5)
        assert float(ours[f"layer{number}.giou"]) == pytest.approx(2 * float(theirs["loss_giou"]), rel=1e-5)
