"""What RetinaNet, ATSS and GFL share: size, initial state, which cells count, what becomes a detection."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet as TorchvisionRetinaNet
from torchvision.ops import box_iou

from dit_bench.cost.census import take_census
from dit_bench.cost.conventions import MMCV_LAYERNORM, convention_macs
from dit_bench.models.detectors.atss import ATSS
from dit_bench.models.detectors.dense_head import DenseDetector, DenseOutputs
from dit_bench.models.detectors.gfl import GFL
from dit_bench.models.detectors.retinanet import RetinaNet
from dit_bench.models.detectors.structures import Objects, PaddedImages

DETECTORS: list[type[DenseDetector]] = [RetinaNet, ATSS, GFL]
RESNET50, PVT_V2 = [256, 512, 1024, 2048], [64, 128, 320, 512]
RESNET50_PARAMS, PVT_V2_B2_PARAMS = 23_508_032, 24_849_856
"""Of the backbones alone: torchvision's without classifier; timm's without head."""
TINY = [4, 6, 8, 10]


def make_maps(widths: list[int], padded: tuple[int, int], batch: int = 1, seed: int = 0) -> list[Tensor]:
    torch.manual_seed(seed)
    strides = (4, 8, 16, 32)
    return [torch.randn(batch, w, padded[0] // s, padded[1] // s) for w, s in zip(widths, strides, strict=True)]


def make_detector(kind: type[DenseDetector], spread: float = 0.0, **options: float) -> DenseDetector:
    """A narrow detector whose outputs vary with the input if `spread` is given."""
    torch.manual_seed(1)
    detector = kind(TINY, 3, channels=32, **options)  # type: ignore[arg-type]
    if spread:
        for tower in (detector.class_tower, detector.box_tower):
            for conv in tower:
                if isinstance(conv, nn.Conv2d):
                    nn.init.kaiming_normal_(conv.weight)
        nn.init.normal_(detector.class_output.weight, std=spread)
        nn.init.normal_(detector.box_output.weight, std=spread / 10)
    return detector


def make_images(padded: tuple[int, int], sizes: list[tuple[int, int]]) -> PaddedImages:
    return PaddedImages(torch.zeros(len(sizes), 3, *padded), sizes)


@pytest.mark.parametrize(
    ("kind", "widths", "backbone", "millions", "gmacs"),
    [
        (RetinaNet, RESNET50, RESNET50_PARAMS, 37.97, 239.30 - 84.06),
        (ATSS, RESNET50, RESNET50_PARAMS, 32.30, 205.28 - 84.06),
        (GFL, RESNET50, RESNET50_PARAMS, 32.44, 208.38 - 84.06),
        (RetinaNet, PVT_V2, PVT_V2_B2_PARAMS, 35.10, 290.65 - 139.02),
        (ATSS, PVT_V2, PVT_V2_B2_PARAMS, 32.97, 257.55 - 139.02),
        (GFL, PVT_V2, PVT_V2_B2_PARAMS, 33.11, 260.65 - 139.02),
    ],
)
def test_size_is_the_published_one(
    kind: type[DenseDetector], widths: list[int], backbone: int, millions: float, gmacs: float
) -> None:
    """Parameters and MACs at 1280x800 of the published configurations, the backbone's share added or taken off."""
    with torch.device("meta"):
        detector = kind(widths, 80)
        census = take_census(detector, make_maps(widths, (800, 1280)), (800, 1280))
    assert round((census.params + backbone) / 1e6, 2) == millions
    assert census.params == expected_params(kind, widths)
    assert convention_macs(census, MMCV_LAYERNORM) / 1e9 == pytest.approx(gmacs, abs=0.015)


def expected_params(kind: type[DenseDetector], widths: list[int]) -> int:
    """Laterals, five 3x3 convolutions of the pyramid, two towers of four, output convolutions."""

    def conv(inputs: int, outputs: int, taps: int = 9, bias: bool = True) -> int:
        return taps * inputs * outputs + bias * outputs

    p6_source = widths[3] if kind is RetinaNet else 256
    pyramid = sum(conv(width, 256, taps=1) for width in widths[1:]) + 4 * conv(256, 256) + conv(p6_source, 256)
    if kind is RetinaNet:
        return pyramid + 8 * conv(256, 256) + conv(256, 9 * 80) + conv(256, 9 * 4)
    towers = 8 * (conv(256, 256, bias=False) + 2 * 256)
    boxes = conv(256, 4) + conv(256, 1) if kind is ATSS else conv(256, 4 * 17)
    return pyramid + towers + conv(256, 80) + boxes + 5


def test_the_backbones_of_the_published_sizes() -> None:
    import timm
    from torchvision.models import resnet50

    with torch.device("meta"):
        resnet, pvt = resnet50(), timm.create_model("pvt_v2_b2", num_classes=0)
    resnet.fc = nn.Identity()  # type: ignore[assignment]
    assert sum(p.numel() for p in resnet.parameters()) == RESNET50_PARAMS
    assert sum(p.numel() for p in pvt.parameters()) == PVT_V2_B2_PARAMS


@pytest.mark.parametrize("kind", DETECTORS)
def test_initial_state(kind: type[DenseDetector]) -> None:
    """Weights from N(0, 0.01²), zero biases, and a score of 0.01 for every class."""
    detector = kind(TINY, 80)
    for name, module in detector.named_modules():
        if isinstance(module, nn.Conv2d) and not name.startswith("pyramid"):
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.05)
            if name == "class_output":
                assert module.bias is not None
                torch.testing.assert_close(module.bias, torch.full_like(module.bias, -math.log(99)))
            elif module.bias is not None:
                assert not module.bias.any()
    with torch.no_grad():
        levels, grids = detector._outputs(make_maps(TINY, (64, 96)))
    assert grids == [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
    scores = torch.cat([level.logits for level in levels], dim=1).sigmoid()
    assert scores.mean().item() == pytest.approx(0.01, rel=0.1)
    assert all(level.logits.shape[2] == 80 for level in levels), "no background"


@pytest.mark.parametrize(("kind", "number"), [(RetinaNet, 0), (ATSS, 8), (GFL, 8)])
def test_towers_have_norms_of_32_groups_that_decay(kind: type[DenseDetector], number: int) -> None:
    """PVT's configurations exempt parameters from decay whose names contain "norm": the heads' are not among them."""
    detector = kind(TINY, 80)
    norms = [module for module in detector.modules() if isinstance(module, nn.GroupNorm)]
    assert [norm.num_groups for norm in norms] == [32] * number
    assert not [name for name, _ in detector.named_parameters() if "norm" in name]


@pytest.mark.parametrize("kind", [ATSS, GFL])
def test_each_level_scales_its_own_codes(kind: type[DenseDetector]) -> None:
    detector = make_detector(kind, spread=0.2)
    assert detector.scales is not None
    maps = make_maps(TINY, (64, 96))
    before, _ = detector._outputs(maps)
    with torch.no_grad():
        detector.scales[2] = 3
    after, _ = detector._outputs(maps)
    for level, (old, new) in enumerate(zip(before, after, strict=True)):
        torch.testing.assert_close(new.code, old.code * (3 if level == 2 else 1))
        torch.testing.assert_close(new.logits, old.logits)


def test_outputs_are_in_the_order_of_the_anchors() -> None:
    """The logit of class k for shape a on a cell comes from channel a · K + k at the anchor's row and column."""
    detector = make_detector(RetinaNet)
    maps = make_maps(TINY, (64, 96))
    feature = detector.pyramid(maps)[1]
    channels = detector.class_output(detector.class_tower(feature))[0]
    logits = detector._outputs(maps)[0][1].logits[0]
    anchors = detector.anchors([tuple(feature.shape[2:])] * 5, "cpu")[1]
    for n in range(0, len(anchors), 5):
        column, row = ((anchors[n, :2] + anchors[n, 2:]) / 2 / 16).round().long().tolist()
        shape = n % 9
        torch.testing.assert_close(logits[n], channels[shape * 3 : shape * 3 + 3, row, column])


def test_retinanets_detections_are_torchvisions() -> None:
    """Same outputs, same anchors: threshold 0.05, 1000 per level, suppression at 0.5.

    Of torchvision's, those without area once they are clipped are left out, and 100 are kept.
    """
    detector = make_detector(RetinaNet, spread=0.5)
    sizes = [(64, 96), (60, 90)]
    maps = make_maps(TINY, (64, 96), batch=2)
    levels, grids = detector._outputs(maps)
    backbone = nn.Identity()
    backbone.out_channels = 32  # type: ignore[assignment]
    theirs = TorchvisionRetinaNet(backbone, 3, detections_per_img=10_000, score_thresh=0.05, nms_thresh=0.5)
    anchors = [detector.anchors(grids, "cpu")] * 2
    head = {"cls_logits": [level.logits for level in levels], "bbox_regression": [level.code for level in levels]}
    expected = theirs.postprocess_detections(head, anchors, sizes)  # type: ignore[arg-type]
    found = detector.detect(maps, make_images((64, 96), sizes))
    for ours, other in zip(found, expected, strict=True):
        best = (other["boxes"][:, 2:] > other["boxes"][:, :2]).all(dim=1).nonzero().squeeze(1)[:100]
        assert len(ours.scores) == len(best) == 100
        torch.testing.assert_close(ours.scores, other["scores"][best])
        torch.testing.assert_close(ours.labels, other["labels"][best])
        torch.testing.assert_close(ours.boxes, other["boxes"][best], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("kind", "nms_iou"), [(RetinaNet, 0.5), (ATSS, 0.6), (GFL, 0.6)])
def test_detections_lie_inside_their_image_and_score_enough(kind: type[DenseDetector], nms_iou: float) -> None:
    """Also where a larger image of the batch has left a lot of padding to the right and below."""
    detector = make_detector(kind, spread=1.0, max_detections=50)
    sizes, closest = [(128, 160), (40, 50), (90, 33)], 0.0
    found = detector.detect(make_maps(TINY, (128, 160), batch=3), make_images((128, 160), sizes))
    for (height, width), detections in zip(sizes, found, strict=True):
        assert 0 < len(detections.boxes) <= 50
        x1, y1, x2, y2 = detections.boxes.unbind(dim=1)
        assert (x1 >= 0).all()
        assert (y1 >= 0).all()
        assert (x2 <= width).all()
        assert (y2 <= height).all()
        assert (x1 < x2).all()
        assert (y1 < y2).all()
        assert (detections.scores.diff() <= 0).all(), "best first"
        for label in range(3):
            boxes = detections.boxes[detections.labels == label]
            closest = max(closest, box_iou(boxes, boxes).triu(1).max().item())
        if kind is not ATSS:
            assert (detections.scores > 0.05).all()
    assert nms_iou - 0.05 < closest <= nms_iou, "of boxes of one class"


@pytest.mark.parametrize("kind", DETECTORS)
def test_cells_that_only_the_batch_padded_detect_and_learn_nothing(kind: type[DenseDetector]) -> None:
    """An image of 33x50 has 64x64 of its own; what lies beyond was padded for its neighbours."""
    detector = make_detector(kind)
    maps = make_maps(TINY, (128, 160))
    images = make_images((128, 160), [(33, 50)])
    assert not len(detector.detect(maps, images)[0].boxes)
    levels, grids = detector._outputs(maps)
    present = torch.cat(detector.anchors.on_image(grids, (33, 50), "cpu"))
    high = [torch.full_like(level.logits, 5.0) for level in levels]
    start = 0
    for level, logits in zip(levels, high, strict=True):
        logits[:, present[start : start + logits.shape[1]]] = -5.0
        start += level.logits.shape[1]
    outputs = [DenseOutputs(logits, level.code, level.centerness) for level, logits in zip(levels, high, strict=True)]
    detector._outputs = lambda maps: (outputs, grids)  # type: ignore[method-assign]
    assert not len(detector.detect(maps, images)[0].boxes)
    objects = Objects(torch.tensor([[5.0, 5, 30, 28]]), torch.tensor([1]))
    targets = detector._targets(grids, images.sizes, [objects], torch.device("cpu"))
    assert not targets.considered[0, ~present].any()
    assert targets.positive[0, present].any()


def test_atss_thresholds_the_class_and_orders_by_class_times_centerness() -> None:
    detector = make_detector(ATSS)
    maps, images = make_maps(TINY, (64, 64)), make_images((64, 64), [(64, 64)])
    levels, grids = detector._outputs(maps)
    logits = torch.full_like(levels[0].logits, -9.0)
    # Cells (2, 2) and (6, 6): a confident class off centre, a less confident one that is central.
    logits[0, 2 * 8 + 2, 0], logits[0, 6 * 8 + 6, 1] = 2.0, 0.0
    # Above the threshold by its class, not by the product.
    logits[0, 4 * 8 + 4, 2] = math.log(0.06 / 0.94)
    assert levels[0].centerness is not None
    centerness = torch.full_like(levels[0].centerness, -2.0)
    centerness[0, 6 * 8 + 6] = 3.0
    silent = [DenseOutputs(level.logits * 0 - 9, level.code, level.centerness) for level in levels[1:]]
    outputs = [DenseOutputs(logits, levels[0].code, centerness), *silent]
    detector._outputs = lambda maps: (outputs, grids)  # type: ignore[method-assign]
    found = detector.detect(maps, images)[0]
    assert found.labels.tolist() == [1, 0, 2]
    sigmoid = torch.tensor([0.0, 3, 2, -2]).sigmoid()
    expected = torch.stack([sigmoid[0] * sigmoid[1], sigmoid[2] * sigmoid[3], 0.06 * sigmoid[3]])
    torch.testing.assert_close(found.scores, expected)
