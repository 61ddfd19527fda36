"""Losses of RetinaNet against torchvision's, of ATSS and GFL against the papers' formulas anchor by anchor."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import box_iou, generalized_box_iou

from dit_bench.models.detectors.anchors import AnchorGrid
from dit_bench.models.detectors.atss import ATSS, centerness_targets
from dit_bench.models.detectors.dense_head import DenseDetector
from dit_bench.models.detectors.gfl import GFL, distance_targets
from dit_bench.models.detectors.matching import match_atss, match_by_iou
from dit_bench.models.detectors.retinanet import RetinaNet
from dit_bench.models.detectors.structures import Objects, PaddedImages
from dit_bench.models.shares import Share, computing

DETECTORS: list[type[DenseDetector]] = [RetinaNet, ATSS, GFL]
WIDTHS = [4, 6, 8, 10]
STRIDES = [8, 16, 32, 64, 128]
GRIDS = [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
SIZE = (64, 96)
NO_OBJECTS = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def make_objects() -> list[Objects]:
    """Two images with different numbers of objects, so that a wrong normaliser is seen."""
    first = torch.tensor([[3.2, 5.1, 40.3, 44.9], [50.5, 9.9, 90.1, 60.2], [10.3, 40.7, 30.9, 62.1]])
    second = torch.tensor([[20.4, 11.3, 70.6, 50.2]])
    return [Objects(first, torch.tensor([0, 2, 1])), Objects(second, torch.tensor([1]))]


def make_case(kind: type[DenseDetector]) -> tuple[DenseDetector, list[Tensor], PaddedImages]:
    torch.manual_seed(3)
    detector = kind(WIDTHS, 3, channels=32)
    for conv in (detector.class_output, detector.box_output, detector.centerness_output):
        if conv is not None:
            nn.init.normal_(conv.weight, std=0.1)
    maps = [torch.randn(2, w, SIZE[0] // s, SIZE[1] // s) for w, s in zip(WIDTHS, (4, 8, 16, 32), strict=True)]
    return detector, maps, PaddedImages(torch.zeros(2, 3, *SIZE), [SIZE, SIZE])


def flat_outputs(detector: DenseDetector, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    levels, grids = detector._outputs(maps)
    assert grids == GRIDS
    centerness = [level.centerness for level in levels if level.centerness is not None]
    return (
        torch.cat([level.logits for level in levels], dim=1).detach(),
        torch.cat([level.code for level in levels], dim=1).detach(),
        torch.cat(centerness, dim=1).detach() if centerness else None,
    )


@pytest.mark.parametrize("second_is_empty", [False, True])
def test_retinanets_losses_are_torchvisions_with_another_normaliser(second_is_empty: bool) -> None:
    """torchvision divides by each image's positives and averages; here the sums are divided by the batch's positives.

    An image without a positive counts as having one, in both.
    """
    detector, maps, images = make_case(RetinaNet)
    objects = make_objects()
    if second_is_empty:
        objects[1] = NO_OBJECTS
    logits, deltas, _ = flat_outputs(detector, maps)
    grid = AnchorGrid(STRIDES, octave_base_scale=4, scales_per_octave=3, ratios=(0.5, 1.0, 2.0))
    anchors = torch.cat(grid(GRIDS, "cpu"))
    head = RetinaNetHead(32, 9, 3)
    sums, positives = torch.zeros(2), 0
    for image, found in enumerate(objects):
        matches = match_by_iou(found.boxes, anchors, positive=0.5, negative=0.4, min_positive=0.0, low_quality=True)
        targets = [{"boxes": found.boxes, "labels": found.labels}]
        outputs = {"cls_logits": logits[image : image + 1], "bbox_regression": deltas[image : image + 1]}
        theirs = head.compute_loss(targets, outputs, [anchors], [matches])
        number = max(1, int((matches >= 0).sum()))
        sums += number * torch.stack([theirs["classification"], theirs["bbox_regression"]]).detach()
        positives += number
    terms = detector.losses(maps, images, objects)
    assert list(terms) == ["classification", "box"]
    torch.testing.assert_close(torch.stack([*terms.values()]).detach(), sums / positives)


def test_atss_losses_anchor_by_anchor() -> None:
    detector, maps, images = make_case(ATSS)
    objects = make_objects()
    logits, deltas, centerness = flat_outputs(detector, maps)
    assert centerness is not None
    levels = AnchorGrid(STRIDES, octave_base_scale=8)(GRIDS, "cpu")
    anchors = torch.cat(levels)
    focal = box = weight_sum = entropy = positives = 0.0
    for image, found in enumerate(objects):
        for k, match in enumerate(match_atss(found.boxes, levels).tolist()):
            for label in range(3):
                p = logits[image, k, label].sigmoid().item()
                is_object = match >= 0 and found.labels[match].item() == label
                focal -= 0.25 * (1 - p) ** 2 * math.log(p) if is_object else 0.75 * p**2 * math.log(1 - p)
            if match < 0:
                continue
            positives += 1
            x1, y1, x2, y2 = anchors[k].tolist()
            cx, cy, side = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1
            dx, dy, dw, dh = (deltas[image, k] * torch.tensor([0.1, 0.1, 0.2, 0.2])).tolist()
            px, py, pw, ph = cx + dx * side, cy + dy * side, side * math.exp(dw), side * math.exp(dh)
            predicted = torch.tensor([[px - pw / 2, py - ph / 2, px + pw / 2, py + ph / 2]])
            left, top, right, bottom = found.boxes[match].tolist()
            sides = [cx - left, right - cx], [cy - top, bottom - cy]
            central = math.sqrt(math.prod(min(pair) / max(pair) for pair in sides))
            box += central * (1 - generalized_box_iou(predicted, found.boxes[match : match + 1]).item())
            weight_sum += central
            p = centerness[image, k].sigmoid().item()
            entropy -= central * math.log(p) + (1 - central) * math.log(1 - p)
    assert weight_sum > 1
    terms = {name: term.item() for name, term in detector.losses(maps, images, objects).items()}
    assert terms == pytest.approx(
        {"classification": focal / positives, "box": 2 * box / weight_sum, "centerness": entropy / positives}, rel=1e-4
    )


def test_gfl_losses_anchor_by_anchor() -> None:
    detector, maps, images = make_case(GFL)
    assert detector.class_output.bias is not None
    nn.init.constant_(detector.class_output.bias, -1.0)
    objects = make_objects()
    logits, code, _ = flat_outputs(detector, maps)
    levels = AnchorGrid(STRIDES, octave_base_scale=8)(GRIDS, "cpu")
    cells = [(stride, anchor) for stride, level in zip(STRIDES, levels, strict=True) for anchor in level.tolist()]
    focal = box = spread = weight_sum = positives = 0.0
    for image, found in enumerate(objects):
        for k, match in enumerate(match_atss(found.boxes, levels).tolist()):
            quality, p = 0.0, logits[image, k].sigmoid()
            if match >= 0:
                positives += 1
                stride, (x1, y1, x2, y2) = cells[k]
                cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
                probabilities = code[image, k].view(4, 17).softmax(dim=1)
                d = (probabilities @ torch.arange(17.0) * stride).tolist()
                predicted = torch.tensor([[cx - d[0], cy - d[1], cx + d[2], cy + d[3]]])
                target = found.boxes[match : match + 1]
                quality, weight = box_iou(predicted, target).item(), p.max().item()
                box += weight * (1 - generalized_box_iou(predicted, target).item())
                left, top, right, bottom = target[0].tolist()
                for side, distance in enumerate((cx - left, cy - top, right - cx, bottom - cy)):
                    wanted = min(distance / stride, 15.9)
                    low = math.floor(wanted)
                    of_low, of_high = probabilities[side, low].item(), probabilities[side, low + 1].item()
                    cross_entropy = -(low + 1 - wanted) * math.log(of_low) - (wanted - low) * math.log(of_high)
                    spread += weight * cross_entropy / 4
                weight_sum += weight
            for label in range(3):
                wanted = quality if match >= 0 and found.labels[match].item() == label else 0.0
                q = p[label].item()
                focal -= (wanted - q) ** 2 * (wanted * math.log(q) + (1 - wanted) * math.log(1 - q))
    assert weight_sum > 1
    terms = {name: term.item() for name, term in detector.losses(maps, images, objects).items()}
    expected = {"classification": focal / positives, "box": 2 * box / weight_sum}
    assert terms == pytest.approx({**expected, "distribution": 0.25 * spread / weight_sum}, rel=1e-4)


def test_gfls_qualities_and_weights_are_constants_to_the_gradient() -> None:
    """Class scores are not raised to weigh boxes more, nor boxes moved to meet their scores."""
    for names, untouched in ((("box", "distribution"), "class_output"), (("classification",), "box_output")):
        detector, maps, images = make_case(GFL)
        terms = detector.losses(maps, images, make_objects())
        torch.stack([terms[name] for name in names]).sum().backward()
        for output in ("class_output", "box_output"):
            grad = getattr(detector, output).weight.grad
            assert (grad is None or not grad.any()) == (output == untouched)


def test_centerness_by_hand() -> None:
    anchors = torch.tensor([[0.0, 0, 20, 20]]).expand(3, 4)
    boxes = torch.tensor([[0.0, 0, 20, 20], [5, 5, 25, 15], [10, 0, 20, 20]])
    torch.testing.assert_close(centerness_targets(anchors, boxes), torch.tensor([1.0, math.sqrt(5 / 15), 0.0]))


def test_distance_targets_by_hand() -> None:
    """In strides, and never on the last bin or below the first."""
    anchors = AnchorGrid([8], octave_base_scale=8)([(3, 3)], "cpu")[0][4:5]
    found = distance_targets(anchors, torch.tensor([[4.0, 9, 200, 20]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.0, 15.9, 1.5]]))


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("without", [(0,), (0, 1)])
def test_images_without_objects(kind: type[DenseDetector], autocast: bool, without: tuple[int, ...]) -> None:
    """Finite in bf16, too; every parameter gets a gradient, so that distributed training does not wait for one."""
    detector, maps, images = make_case(kind)
    objects = [NO_OBJECTS if image in without else found for image, found in enumerate(make_objects())]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        terms = detector.losses(maps, images, objects)
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())
    assert terms["classification"] > 0
    assert (terms["box"] > 0) == (len(without) == 1)
    torch.stack([*terms.values()]).sum().backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("kind", DETECTORS)
def test_autocast_changes_losses_little(kind: type[DenseDetector]) -> None:
    detector, maps, images = make_case(kind)
    exact = detector.losses(maps, images, make_objects())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = detector.losses(maps, images, make_objects())
    for name, term in exact.items():
        torch.testing.assert_close(rounded[name], term, rtol=0.03, atol=0)


@pytest.mark.parametrize("kind", DETECTORS)
def test_normalisers_are_those_of_the_whole_batch(kind: type[DenseDetector]) -> None:
    """Where the rest of the batch has three times as many positives, or weight, a quarter of each term is ours."""
    detector, maps, images = make_case(kind)
    nn.init.constant_(detector.class_output.bias, 0.0)  # type: ignore[arg-type]
    alone = detector.losses(maps, images, make_objects())
    share = Share(torch.arange(2), 8, lambda value: 4 * value)
    with computing(share):
        shared = detector.losses(maps, images, make_objects())
    for name, term in shared.items():
        torch.testing.assert_close(term, alone[name] / 4)


def test_cross_entropy_of_torch_is_distribution_focal_loss_on_whole_bins() -> None:
    from dit_bench.models.detectors.losses import distribution_focal_loss

    logits = torch.randn(5, 17, generator=torch.Generator().manual_seed(0))
    bins = torch.tensor([0, 3, 7, 15, 2])
    expected = functional.cross_entropy(logits, bins, reduction="none")
    torch.testing.assert_close(distribution_focal_loss(logits, bins.float()), expected)
