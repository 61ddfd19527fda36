"""Sparse R-CNN: published size and cost, box code, gradients between stages, detections."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torchvision.ops import clip_boxes_to_image, roi_align

from dit_bench.cost.census import Census, take_census
from dit_bench.cost.conventions import MATMUL, MMCV_LAYERNORM, convention_macs, without_attention
from dit_bench.models.detectors.dynamic_head import DynamicHeadStage
from dit_bench.models.detectors.sparse_rcnn import SparseRCNN
from dit_bench.models.detectors.structures import Objects, PaddedImages

STRIDES = (4, 8, 16, 32)
RESNET_50 = [256, 512, 1024, 2048]
PVT_V2_B2 = [64, 128, 320, 512]


def _tiny(**options: int) -> SparseRCNN:
    torch.manual_seed(0)
    sizes = {"width": 8, "dynamic_width": 4, "ffn_width": 16, "num_heads": 2}
    return SparseRCNN([4, 4, 4, 4], 3, **{"num_proposals": 5, "num_stages": 2, **sizes, **options})


def _maps() -> list[torch.Tensor]:
    return [torch.randn(2, 4, 96 // stride, 128 // stride) for stride in STRIDES]


IMAGES = PaddedImages(torch.zeros(2, 3, 96, 128), [(96, 100), (70, 128)])
OBJECTS = [
    Objects(torch.tensor([[10.0, 20, 60, 90]]), torch.tensor([0])),
    Objects(torch.tensor([[20.0, 10, 100, 60]]), torch.tensor([1])),
]


@pytest.mark.parametrize(
    ("widths", "backbone", "total"), [(RESNET_50, 23_508_032, 106.343), (PVT_V2_B2, 24_849_856, 106.964)]
)
def test_parameters_of_the_original(widths: list[int], backbone: int, total: float) -> None:
    """With ResNet-50, 6 stages and 300 proposals; the two backbones are torchvision's and timm's without classifier."""
    with torch.device("meta"):
        detector = SparseRCNN(widths, 80)
    assert round((backbone + sum(p.numel() for p in detector.parameters())) / 1e6, 3) == total


@pytest.fixture(scope="module")
def census() -> Census:
    with torch.device("meta"):
        maps = [
            torch.zeros(1, width, 800 // stride, 1280 // stride)
            for width, stride in zip(RESNET_50, STRIDES, strict=True)
        ]
        return take_census(SparseRCNN(RESNET_50, 80), maps, (800, 1280))


def test_cost_that_mmdetection_prints(census: Census) -> None:
    """Neck 58.043 and stages 23.376 G, neither attention nor the dynamic products among them."""
    assert census.unexplained == []
    assert round(convention_macs(census, without_attention(MMCV_LAYERNORM)) / 1e9, 3) == 81.419


def test_cost_of_all_products(census: Census) -> None:
    """The 3.64 G that the printed figure lacks: projections and products of attention, dynamic products."""
    n, c = 300, 256
    lacking = 6 * (n * 4 * c**2 + 2 * n * n * c + n * 49 * 2 * c * 64)
    assert round(lacking / 1e9, 2) == 3.64
    assert census.macs == census.dispatched_macs
    assert census.macs - convention_macs(census, without_attention(MATMUL)) == lacking


def test_boxes_start_from_the_image_before_padding() -> None:
    detector = _tiny()
    for stage in detector.stages:
        assert isinstance(stage, DynamicHeadStage)
        deltas = stage.box_branch[-1]
        assert isinstance(deltas, nn.Linear)
        nn.init.zeros_(deltas.weight)
        nn.init.zeros_(deltas.bias)
    for found, (height, width) in zip(detector.detect(_maps(), IMAGES), IMAGES.sizes, strict=True):
        torch.testing.assert_close(found.boxes, torch.tensor([[0.0, 0, width, height]]).expand(15, 4))


def test_deltas_move_the_boxes_of_the_stage_before() -> None:
    """Every stage: centre by 0.5 · 0.2 of the width, width times e^-1, and as much of the moved box in the next."""
    detector = _tiny()
    for stage in detector.stages:
        assert isinstance(stage, DynamicHeadStage)
        deltas = stage.box_branch[-1]
        assert isinstance(deltas, nn.Linear)
        nn.init.zeros_(deltas.weight)
        with torch.no_grad():
            deltas.bias.copy_(torch.tensor([0.2, 0.0, -1.0, 0.0]))
    image = PaddedImages(torch.zeros(1, 3, 96, 128), [(80, 100)])
    (found,) = detector.detect([level[:1] for level in _maps()], image)
    width = 100 * torch.e**-2
    centre = 50 + 0.1 * 100 + 0.1 * 100 * torch.e**-1
    expected = torch.tensor([[centre - width / 2, 0, centre + width / 2, 80]])
    torch.testing.assert_close(found.boxes, expected.expand(15, 4), atol=1e-4, rtol=0)


def test_loss_has_the_weights_of_the_paper() -> None:
    """Focal 2, L1 of relative corners 5, GIoU 2; boxes are the images, every class has one percent."""
    detector = _tiny(num_stages=1)
    (stage,) = detector.stages
    assert isinstance(stage, DynamicHeadStage)
    for branch in (stage.class_branch, stage.box_branch):
        last = branch[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.bias)
    objects = [
        Objects(torch.tensor([[0.0, 0, 50, 96]]), torch.tensor([0])),
        Objects(torch.tensor([[64.0, 0, 128, 35]]), torch.tensor([2])),
    ]
    terms = detector.losses(_maps(), IMAGES, objects)
    # Two positives of 2 images x 5 proposals x 3 classes.
    focal = -2 * 0.25 * 0.99**2 * math.log(0.01) - 28 * 0.75 * 0.01**2 * math.log(0.99)
    assert terms["stage1.classification"].item() == pytest.approx(2 * focal / 2, rel=1e-4)
    assert terms["stage1.l1"].item() == pytest.approx(5 * (0.5 + 0.5 + 0.5) / 2, rel=1e-5)
    assert terms["stage1.giou"].item() == pytest.approx(2 * (0.5 + 0.75) / 2, rel=1e-5)


def test_gradients_flow_through_features_but_not_through_boxes() -> None:
    detector = _tiny()
    terms = detector.losses(_maps(), IMAGES, OBJECTS)
    of_second = torch.stack([term for name, term in terms.items() if name.startswith("stage2")]).sum()
    of_second.backward(retain_graph=True)
    assert detector.proposal_boxes.grad is None
    first = detector.stages[0]
    assert isinstance(first, DynamicHeadStage)
    assert first.interaction.generator.weight.grad is not None
    assert all(parameter.grad is None for parameter in first.box_branch.parameters())
    torch.stack([term for name, term in terms.items() if name.startswith("stage1")]).sum().backward()
    assert detector.proposal_boxes.grad is not None
    assert bool(detector.proposal_boxes.grad.any())


def test_a_proposal_may_be_found_in_several_classes() -> None:
    """The best pairs of proposal and class, without suppression, best first."""
    detector = _tiny(max_detections=7)
    last = detector.stages[-1]
    assert isinstance(last, DynamicHeadStage)
    logits = last.class_branch[-1]
    assert isinstance(logits, nn.Linear)
    nn.init.zeros_(logits.weight)
    with torch.no_grad():
        logits.bias.copy_(torch.tensor([0.0, 2.0, 1.0]))
    for found in detector.detect(_maps(), IMAGES):
        assert found.labels.tolist() == [1] * 5 + [2] * 2
        expected = torch.tensor([2.0] * 5 + [1.0] * 2).sigmoid()
        torch.testing.assert_close(found.scores, expected)


@torch.no_grad()
def test_detections_are_pairs_of_the_last_stage() -> None:
    """With fewer pairs than `max_detections` all of them, each with its proposal's box."""
    detector, maps = _tiny(), _maps()
    last = detector._refine(maps, IMAGES.sizes)[-1]
    for image, found in enumerate(detector.detect(maps, IMAGES)):
        scores = last.logits[image].sigmoid()
        pairs = sorted(((n, k) for n in range(5) for k in range(3)), key=lambda pair: -scores[pair].item())
        assert found.labels.tolist() == [label for _, label in pairs]
        assert found.scores.tolist() == [scores[pair].item() for pair in pairs]
        boxes = clip_boxes_to_image(last.boxes[image], IMAGES.sizes[image])
        torch.testing.assert_close(found.boxes, boxes[[proposal for proposal, _ in pairs]])


@torch.no_grad()
def test_a_stage_sees_the_pixels_of_the_boxes_before_it() -> None:
    """All boxes here belong to the finest level; 7 x 7 bins of 2 x 2 samples, aligned."""
    detector, maps = _tiny(), _maps()
    seen: list[torch.Tensor] = []
    for stage in detector.stages:
        stage.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    boxes = detector._refine(maps, IMAGES.sizes)[0].boxes
    whole = torch.tensor([[[0.0, 0, width, height]] * 5 for height, width in IMAGES.sizes])
    for pooled, of_stage in zip(seen, (whole, boxes), strict=True):
        expected = roi_align(detector.neck(maps)[0], list(of_stage), 7, 0.25, sampling_ratio=2, aligned=True)
        torch.testing.assert_close(pooled, expected)
