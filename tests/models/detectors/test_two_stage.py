"""Both two-stage detectors as a whole: published sizes and costs, odd batches, and a problem that they must solve."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_iou, roi_align

from dit_bench.cost.census import take_census
from dit_bench.cost.conventions import MMCV_LAYERNORM, convention_macs
from dit_bench.models.detectors.box_head import BoxPredictions
from dit_bench.models.detectors.cascade_mask_rcnn import CascadeMaskRCNN
from dit_bench.models.detectors.mask_rcnn import MaskRCNN
from dit_bench.models.detectors.roi_training import TrainingBatch
from dit_bench.models.detectors.rpn import ProposalLimits, RegionProposals, ScoredAnchors
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages
from dit_bench.models.detectors.two_stage import TwoStageDetector

RESNET50, PVT_V2_B2 = [256, 512, 1024, 2048], [64, 128, 320, 512]
PARAMS_M = {"resnet50": 23.508032, "pvt_v2_b2": 24.849856}
"""Parameters of the backbones without classifiers."""
BOTH = pytest.mark.parametrize("cls", [MaskRCNN, CascadeMaskRCNN])


@pytest.mark.parametrize(
    ("cls", "backbone", "widths", "params_m", "gmacs"),
    [
        # Totals of mmdetection's own models; its counter, less the 84.077 and 139.02 GMACs of the backbones. It does
        # not see SyncBatchNorm, the 0.301 of which are left out here, too, where BatchNorm stands in for it.
        (MaskRCNN, "resnet50", RESNET50, 44.396, 260.138 - 84.077),
        (MaskRCNN, "pvt_v2_b2", PVT_V2_B2, 45.017, 309.244 - 139.017),
        (CascadeMaskRCNN, "resnet50", RESNET50, 82.232, 738.713 - 84.077 + 0.301),
        (CascadeMaskRCNN, "pvt_v2_b2", PVT_V2_B2, 82.852, 788.12 - 139.017),
    ],
)
def test_published_parameters_and_macs(
    cls: type[MaskRCNN] | type[CascadeMaskRCNN], backbone: str, widths: list[int], params_m: float, gmacs: float
) -> None:
    with torch.device("meta"):
        detector = cls(widths, 80)
        maps = [torch.zeros(1, width, 200 >> k, 320 >> k) for k, width in enumerate(widths)]
    census = take_census(detector, maps, (800, 1280))
    assert round(PARAMS_M[backbone] + census.params / 1e6, 3) == params_m
    assert convention_macs(census, MMCV_LAYERNORM) / 1e9 == pytest.approx(gmacs, abs=2e-3)
    assert not census.unexplained
    assert census.without_formula == 0


@pytest.mark.parametrize(
    ("cls", "outside", "beta", "low_quality", "training_proposals"),
    [(MaskRCNN, True, 0.0, [True], 1000), (CascadeMaskRCNN, False, 1 / 9, [False] * 3, 2000)],
)
def test_settings_of_the_papers(
    cls: type[MaskRCNN] | type[CascadeMaskRCNN],
    outside: bool,
    beta: float,
    low_quality: list[bool],
    training_proposals: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = Toy(cls)
    proposals, sample = network.detector.proposals, network.detector._sample
    assert (proposals.outside, proposals.beta) == (outside, beta)
    limits: list[ProposalLimits] = []
    asked: list[bool] = []

    def propose(scored: ScoredAnchors, sizes: list[tuple[int, int]], limit: ProposalLimits) -> list[Tensor]:
        limits.append(limit)
        return RegionProposals.propose(proposals, scored, sizes, limit)

    def sampled(*arguments: Any, low_quality: bool, **options: Any) -> TrainingBatch:
        asked.append(low_quality)
        return sample(*arguments, low_quality=low_quality, **options)

    monkeypatch.setattr(proposals, "propose", propose)
    monkeypatch.setattr(network.detector, "_sample", sampled)
    images, objects = batch_of(draw([[4, 6, 28, 34]], [1], (64, 64)))
    network.losses(images, objects)
    network.detect(images)
    assert limits == [ProposalLimits(2000, training_proposals), ProposalLimits(1000, 1000)]
    assert asked == low_quality


@BOTH
def test_detections_of_a_class_overlap_by_half_at_most(cls: type[MaskRCNN] | type[CascadeMaskRCNN]) -> None:
    detector = Toy(cls).detector
    # The second overlaps the first by 0.6, the third by 0.4.
    boxes = torch.tensor([[0.0, 0.0, 40.0, 40.0], [0.0, 0.0, 40.0, 24.0], [0.0, 0.0, 40.0, 16.0]])
    predictions = BoxPredictions(torch.tensor([[3.0, -9, 0], [2.0, -9, 0], [1.0, -9, 0]]), torch.zeros(3, 2, 4))
    (found,) = detector._found(predictions, [boxes], [(64, 64)], (1.0, 1.0, 1.0, 1.0))
    torch.testing.assert_close(found.boxes, boxes[[0, 2]])


class Toy(nn.Module):
    """A backbone of four convolutions under a detector of little width."""

    def __init__(self, cls: type[MaskRCNN] | type[CascadeMaskRCNN]):
        super().__init__()
        widths = [16, 16, 16, 16]
        self.stages = nn.ModuleList(
            nn.Conv2d(3 if k == 0 else 16, 16, 7 if k == 0 else 3, 4 if k == 0 else 2, 3 if k == 0 else 1)
            for k in range(4)
        )
        self.detector: TwoStageDetector = cls(widths, 2, channels=16, fc_width=64, regions_per_image=32)

    def maps(self, images: PaddedImages) -> list[Tensor]:
        maps, x = [], images.pixels
        for stage in self.stages:
            x = functional.relu(stage(x))
            maps.append(x)
        return maps

    def losses(self, images: PaddedImages, objects: list[Objects]) -> dict[str, Tensor]:
        return self.detector.losses(self.maps(images), images, objects)

    @torch.no_grad()
    def detect(self, images: PaddedImages) -> list[Detections]:
        return self.detector.eval().detect(self.maps(images), images)


def draw(boxes: list[list[int]], labels: list[int], size: tuple[int, int]) -> tuple[Tensor, Objects]:
    """A picture `(3, h, w)` of rectangles (class 0, red) and ellipses (class 1, green), and what is on it."""
    picture, masks = torch.zeros(3, *size), torch.zeros(len(boxes), *size, dtype=torch.bool)
    y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in size), indexing="ij")
    for mask, (x1, y1, x2, y2), label in zip(masks, boxes, labels, strict=True):
        u, v = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)
        mask |= (u.abs() < 1) & (v.abs() < 1) if label == 0 else u**2 + v**2 < 1
        picture[label, mask] = 1.0
    return picture, Objects(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels).long(), masks)


def batch_of(*drawn: tuple[Tensor, Objects], side: int = 64) -> tuple[PaddedImages, list[Objects]]:
    pixels = torch.zeros(len(drawn), 3, side, side)
    for padded, (picture, _) in zip(pixels, drawn, strict=True):
        padded[:, : picture.shape[1], : picture.shape[2]] = picture
    sizes = [(picture.shape[1], picture.shape[2]) for picture, _ in drawn]
    return PaddedImages(pixels, sizes), [objects for _, objects in drawn]


@pytest.mark.parametrize(
    ("cls", "lr", "steps", "seed"), [(MaskRCNN, 1e-2, 140, 1), (CascadeMaskRCNN, 8e-3, 90, 0)], ids=["one", "cascade"]
)
def test_learns_boxes_classes_and_masks(
    cls: type[MaskRCNN] | type[CascadeMaskRCNN], lr: float, steps: int, seed: int
) -> None:
    torch.manual_seed(seed)
    network = Toy(cls)
    images, (known,) = batch_of(draw([[4, 6, 28, 34], [30, 20, 60, 48]], [0, 1], (56, 64)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.stack(list(network.losses(images, [known]).values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    (found,) = network.detect(images)
    assert found.masks is not None
    assert known.masks is not None
    for label in (0, 1):
        best = int((found.labels == label).nonzero()[0])
        box = found.boxes[best : best + 1]
        assert found.scores[best] > 0.5
        assert box_iou(known.boxes[label : label + 1], box) > 0.7
        truth = roi_align(known.masks[label][None, None].float(), [box], 28, aligned=True)[0, 0] > 0.5
        drawn = found.masks[best] > 0.5
        assert (drawn & truth).sum() / (drawn | truth).sum() > 0.7


@BOTH
@pytest.mark.parametrize("empty", [1, 2], ids=["one_empty", "all_empty"])
def test_images_without_objects_give_finite_losses_and_whole_gradients(
    cls: type[MaskRCNN] | type[CascadeMaskRCNN], empty: int
) -> None:
    torch.manual_seed(0)
    network = Toy(cls)
    full = draw([[4, 6, 28, 34]], [1], (48, 64))
    images, objects = batch_of(*[full] * (2 - empty), *[draw([], [], (64, 40))] * empty)
    losses = network.losses(images, objects)
    assert all(torch.isfinite(loss) and loss >= 0 for loss in losses.values())
    assert {loss.item() > 0 for name, loss in losses.items() if "box" in name or "mask" in name} == {empty == 1}
    assert all(loss > 0 for name, loss in losses.items() if "classification" in name)
    torch.stack(list(losses.values())).sum().backward()
    # Distributed training waits for every parameter's gradient, even where there is nothing to learn.
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@BOTH
def test_half_precision_costs_no_position(cls: type[MaskRCNN] | type[CascadeMaskRCNN]) -> None:
    torch.manual_seed(0)
    network = Toy(cls)
    network.detector.score_threshold = 0.0
    images, objects = batch_of(draw([[4, 6, 28, 34], [30, 20, 60, 48]], [0, 1], (56, 64)), draw([], [], (64, 64)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, found = network.losses(images, objects), network.detect(images)[0]
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
    assert found.masks is not None
    assert {found.boxes.dtype, found.scores.dtype, found.masks.dtype} == {torch.float32}
    # Eight bits would put every coordinate from 32 px on on a multiple of a quarter.
    inner = found.boxes[(found.boxes > 32) & (found.boxes < 56)]
    assert (inner % 0.25 != 0).float().mean() > 0.9


@BOTH
def test_detections_lie_in_their_own_image_best_first(cls: type[MaskRCNN] | type[CascadeMaskRCNN]) -> None:
    torch.manual_seed(0)
    network = Toy(cls)
    network.detector.max_detections, network.detector.score_threshold = 7, 0.0
    images, _ = batch_of(draw([[2, 2, 20, 30]], [0], (40, 64)), draw([[2, 2, 60, 30]], [1], (64, 33)))
    for found, (height, width) in zip(network.detect(images), images.sizes, strict=True):
        assert found.masks is not None
        assert found.boxes.shape == (7, 4)
        assert found.masks.shape == (7, 28, 28)
        assert found.masks.min() >= 0
        assert found.masks.max() <= 1
        assert found.boxes.min() >= 0
        assert found.boxes[:, 2].max() <= width
        assert found.boxes[:, 3].max() <= height
        assert (found.scores.diff() <= 0).all()
        assert set(found.labels.tolist()) <= {0, 1}


@BOTH
def test_an_image_of_a_batch_is_detected_as_if_alone(cls: type[MaskRCNN] | type[CascadeMaskRCNN]) -> None:
    torch.manual_seed(0)
    network = Toy(cls)
    network.detector.max_detections, network.detector.score_threshold = 5, 0.0
    drawn = [draw([[2, 2, 20, 30]], [0], (64, 64)), draw([[2, 20, 60, 62]], [1], (64, 50))]
    together = network.detect(batch_of(*drawn)[0])
    for found, image in zip(together, drawn, strict=True):
        (alone,) = network.detect(batch_of(image)[0])
        assert found.masks is not None
        torch.testing.assert_close(found.boxes, alone.boxes, rtol=0, atol=1e-3)
        torch.testing.assert_close(found.masks, alone.masks, rtol=0, atol=1e-4)
        assert torch.equal(found.labels, alone.labels)


@BOTH
def test_nothing_above_the_threshold_is_no_detection(cls: type[MaskRCNN] | type[CascadeMaskRCNN]) -> None:
    network = Toy(cls)
    network.detector.score_threshold = 0.99
    (found,) = network.detect(batch_of(draw([], [], (64, 64)))[0])
    assert found.masks is not None
    assert (found.boxes.shape, found.scores.shape, found.masks.shape) == ((0, 4), (0,), (0, 28, 28))
