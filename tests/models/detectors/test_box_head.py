"""The box head against torchvision's: sizes, and its post-processing with the background class moved to the front."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads

from dit_bench.models.detectors.box_head import (
    BoxHead,
    BoxPredictions,
    box_detections,
    classification_loss,
    positive_deltas,
    refined_boxes,
)

STDS = (0.1, 0.1, 0.2, 0.2)
CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


def random_predictions(regions: int, num_classes: int) -> tuple[BoxPredictions, Tensor]:
    """Confident predictions for regions of an image of 120 x 160."""
    torch.manual_seed(0)
    corners = torch.rand(regions, 2) * torch.tensor([100.0, 70.0])
    boxes = torch.cat([corners, corners + 8 + 50 * torch.rand(regions, 2)], dim=1)
    logits = 2 * torch.randn(regions, num_classes + 1)
    return BoxPredictions(logits, torch.randn(regions, num_classes, 4)), boxes


def parameters(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@torch.no_grad()
def test_trunks_are_torchvisions() -> None:
    outputs = (1024 + 1) * 81 + (1024 + 1) * 4 * 80
    with torch.device("meta"):
        two_linear = BoxHead(256, 80, num_convs=0, num_linear=2, fc_width=1024)
        four_convs = BoxHead(256, 80, num_convs=4, num_linear=1, fc_width=1024)
        assert parameters(two_linear) == parameters(TwoMLPHead(256 * 49, 1024)) + outputs
        convolutional = FastRCNNConvFCHead((256, 7, 7), [256] * 4, [1024], norm_layer=nn.BatchNorm2d)
        assert parameters(four_convs) == parameters(convolutional) + outputs
    ours = BoxHead(8, 3, num_convs=2, num_linear=1, fc_width=16).eval()
    theirs = FastRCNNConvFCHead((8, 7, 7), [8] * 2, [16], norm_layer=nn.BatchNorm2d).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.trunk.state_dict().values(), strict=True)))
    features = torch.randn(5, 8, 7, 7)
    torch.testing.assert_close(ours.trunk(features), theirs(features))
    predictions = ours(features)
    assert (predictions.logits.shape, predictions.deltas.shape) == ((5, 4), (5, 3, 4))


def test_a_fresh_head_is_undecided() -> None:
    torch.manual_seed(0)
    head = BoxHead(64, 10, num_convs=0, num_linear=2, fc_width=256)
    assert head.classes.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert head.boxes.weight.std().item() == pytest.approx(0.001, rel=0.1)
    first = head.trunk[1]
    assert isinstance(first, nn.Linear)
    assert first.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (64 * 49 + 256)), rel=1e-2)


@pytest.mark.parametrize(("score_threshold", "limit"), [(0.05, 100), (0.3, 100), (0.05, 7)])
def test_detections_are_those_of_torchvision(score_threshold: float, limit: int) -> None:
    predictions, boxes = random_predictions(60, 4)
    found = box_detections(
        predictions, boxes, (120, 160), stds=STDS, score_threshold=score_threshold, iou=0.5, limit=limit
    )
    nothing = nn.Identity()
    heads = RoIHeads(
        nothing, nothing, nothing, 0.5, 0.5, 512, 0.25, (10.0, 10.0, 5.0, 5.0), score_threshold, 0.5, limit
    )
    logits = predictions.logits.roll(1, dims=1)
    deltas = torch.cat([torch.zeros(60, 1, 4), predictions.deltas], dim=1).flatten(1)
    (theirs,), (scores,), (labels,) = heads.postprocess_detections(logits, deltas, [boxes], [(120, 160)])
    assert len(found.labels) == min(len(labels), limit) > 5
    torch.testing.assert_close(found.boxes, theirs, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.scores, scores)
    assert torch.equal(found.labels, labels - 1)


def test_a_box_is_refined_for_its_class_or_the_likeliest_one() -> None:
    predictions, boxes = random_predictions(20, 4)
    # Background is likeliest of all in the first; it has no deltas, so the best of the others counts.
    predictions.logits[0] = torch.tensor([0.0, 1.0, 3.0, 2.0, 9.0])
    likeliest = predictions.logits[:, :4].argmax(1)
    assert likeliest[0] == 2
    labels = torch.arange(20) % 5
    for given, classes in ((None, likeliest), (labels, torch.where(labels == 4, likeliest, labels))):
        expected = CODER.decode(predictions.deltas[torch.arange(20), classes], [boxes])[:, 0]
        expected[:, 0::2].clamp_(0, 160)
        expected[:, 1::2].clamp_(0, 120)
        refined = refined_boxes(predictions, boxes, given, (120, 160), STDS)
        torch.testing.assert_close(refined, expected, rtol=0, atol=1e-3)


def test_only_the_own_class_of_regions_with_an_object_learns_a_box() -> None:
    predictions, _ = random_predictions(6, 3)
    labels = torch.tensor([2, 3, 0, 3, 3, 1])
    expected = torch.stack([predictions.deltas[0, 2], predictions.deltas[2, 0], predictions.deltas[5, 1]])
    torch.testing.assert_close(positive_deltas(predictions, labels), expected)


def test_classification_is_averaged_over_all_regions() -> None:
    logits, labels = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), torch.tensor([0, 2])
    first = math.log(math.exp(2) + 1 + math.e) - 2
    assert classification_loss(logits, labels).item() == pytest.approx((first + math.log(3)) / 2)
    assert classification_loss(logits[:0], labels[:0]) == 0


def test_predictions_are_shared_out_among_images() -> None:
    predictions, boxes = random_predictions(5, 2)
    shared = predictions.per_image([boxes[:2], boxes[:0], boxes[2:]])
    assert [len(own.logits) for own in shared] == [2, 0, 3]
    torch.testing.assert_close(shared[2].deltas, predictions.deltas[2:])
