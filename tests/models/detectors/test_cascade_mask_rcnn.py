"""What is the cascade's own: which boxes a stage learns from and refines, and what is averaged over the stages.

The heads are replaced by ones that always say the same, so that every expected value follows by hand.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou, generalized_box_iou

from dit_bench.models.detectors.box_head import BoxPredictions
from dit_bench.models.detectors.cascade_mask_rcnn import CascadeMaskRCNN
from dit_bench.models.detectors.mask_rcnn import MaskRCNN
from dit_bench.models.detectors.roi_training import TrainingBatch
from dit_bench.models.detectors.structures import Objects
from dit_bench.models.detectors.two_stage import TwoStageDetector

K, SIZE = 3, (128, 160)
STDS = [(0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067)]
LEVELS = [torch.zeros(1, 4, SIZE[0] // stride, SIZE[1] // stride) for stride in (4, 8, 16, 32)]
OBJECTS = Objects(
    torch.tensor([[20.0, 20.0, 60.0, 60.0], [80.0, 40.0, 140.0, 100.0]]),
    torch.tensor([1, 0]),
    torch.ones(2, *SIZE, dtype=torch.bool),
)
NEAR, FAR = [22.0, 20.0, 62.0, 60.0], [5.0, 90.0, 45.0, 120.0]


class SameBox(nn.Module):
    """Says the same of every region."""

    def __init__(self, logits: list[float], deltas: Tensor):
        super().__init__()
        self.logits, self.deltas = torch.tensor(logits), deltas

    def forward(self, regions: Tensor) -> BoxPredictions:
        return BoxPredictions(self.logits.expand(len(regions), -1), self.deltas.expand(len(regions), -1, -1))


class SameMask(nn.Module):
    """The same logit everywhere, one per class."""

    def __init__(self, logits: list[float]):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, regions: Tensor) -> Tensor:
        return self.logits[None, :, None, None].expand(len(regions), -1, 28, 28)


def cascade(logits: list[list[float]], deltas: list[Tensor]) -> CascadeMaskRCNN:
    detector = CascadeMaskRCNN([4] * 4, K, channels=4, fc_width=8)
    detector.box_heads = nn.ModuleList(map(SameBox, logits, deltas))
    detector.mask_heads = nn.ModuleList(SameMask([0.5 * number] * K) for number in range(3))
    return detector


def stage_batches(detector: TwoStageDetector, proposals: list[list[float]], monkeypatch: Any) -> list[TrainingBatch]:
    """What the stages learn from."""
    seen: list[TrainingBatch] = []
    original = detector._sample

    def spy(*arguments: Any, **options: Any) -> TrainingBatch:
        seen.append(original(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(detector, "_sample", spy)
    detector._region_losses(LEVELS, [torch.tensor(proposals)], [SIZE], [OBJECTS])
    return seen


def class_deltas() -> Tensor:
    """Another refinement for every class: by 1, 2 or 3 times a small shift to the left and a small growth."""
    amounts, zeros = torch.arange(1.0, K + 1), torch.zeros(K)
    return torch.stack([-0.2 * amounts, zeros, 0.1 * amounts, zeros], dim=1)


def decoded(box: list[float], label: int, stage: int) -> Tensor:
    coder = BoxCoder(tuple(1 / std for std in STDS[stage]))  # type: ignore[arg-type]
    boxes = coder.decode(class_deltas()[label][None], [torch.tensor([box])])[0]
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, SIZE[1])
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, SIZE[0])
    return boxes[0]


def test_a_stage_learns_from_what_the_last_one_refined(monkeypatch: pytest.MonkeyPatch) -> None:
    # Background is likeliest, class 2 next: the deltas of background regions.
    detector = cascade([[0.0, 1.0, 2.0, 3.0]] * 3, [class_deltas()] * 3)
    batches = stage_batches(detector, [NEAR, FAR], monkeypatch)
    near, far = NEAR, FAR
    for stage, batch in enumerate(batches):
        (boxes,) = batch.boxes
        # The objects' own boxes are refined with the others, but left out; annotated as they are they join again.
        torch.testing.assert_close(boxes[:2], OBJECTS.boxes)
        assert batch.labels.tolist() == [1, 0, 1, K]
        torch.testing.assert_close(boxes[2:], torch.tensor([near, far]), rtol=0, atol=1e-3)
        near, far = decoded(near, 1, stage).tolist(), decoded(far, 2, stage).tolist()
    assert len(batches) == 3


def test_later_stages_ask_for_more_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    still = [torch.zeros(K, 4)] * 3
    # Widths beside the object's 40: overlaps 0.55, 0.65, 0.75.
    proposals = [[20.0, 20.0, 20 + 40 * share, 60.0] for share in (0.55, 0.65, 0.75)]
    batches = stage_batches(cascade([[0.0] * 4] * 3, still), proposals, monkeypatch)
    for batch, expected in zip(batches, (0.5, 0.6, 0.7), strict=True):
        overlaps = box_iou(OBJECTS.boxes, batch.boxes[0]).amax(0)
        assert torch.equal(batch.labels < K, overlaps >= expected)
    assert [int((batch.labels < K).sum()) for batch in batches] == [5, 4, 3]


def test_weights_of_stages_and_terms() -> None:
    detector = cascade([[0.0] * 4] * 3, [torch.zeros(K, 4)] * 3)
    losses = detector._region_losses(LEVELS, [torch.tensor([NEAR, FAR])], [SIZE], [OBJECTS])
    near = 1 - generalized_box_iou(torch.tensor([NEAR]), OBJECTS.boxes[:1]).item()
    for number, weight in enumerate((1.0, 0.5, 0.25)):
        stage = f"stage{number + 1}"
        assert losses[f"{stage}.classification"].item() == pytest.approx(weight * math.log(K + 1))
        # Four regions, of which one of an object is not its own box.
        assert losses[f"{stage}.box"].item() == pytest.approx(weight * 10 * near / 4, rel=1e-4)
        masks = math.log1p(math.exp(-0.5 * number))
        assert losses[f"{stage}.mask"].item() == pytest.approx(weight * masks, rel=1e-5)
    assert len(losses) == 9


def test_detections_average_logits_and_compose_refinements() -> None:
    # Averaged, class 0 wins and class 1 is next; on the way classes 2, then 1 are likeliest, background aside.
    logits = [[1.0, 0.0, 2.0, 9.0], [0.5, 2.5, 0.0, -4.0], [6.0, 4.0, 0.0, -3.0]]
    detector = cascade(logits, [class_deltas()] * 3)
    (found,) = detector._detect_boxes(LEVELS, [torch.tensor([FAR])], [SIZE])
    probabilities = torch.tensor(logits).mean(0).softmax(0)
    labels = (probabilities[:K] > 0.05).nonzero().flatten()
    labels = labels[probabilities[labels].argsort(descending=True)]
    assert found.labels.tolist() == labels.tolist() == [0, 1, 2]
    torch.testing.assert_close(found.scores, probabilities[labels])
    second = decoded(FAR, 2, 0).tolist()
    third = decoded(second, 1, 1).tolist()
    for box, label in zip(found.boxes, labels.tolist(), strict=True):
        torch.testing.assert_close(box, decoded(third, label, 2), rtol=0, atol=1e-3)


def test_masks_average_probabilities() -> None:
    detector = cascade([[0.0] * 4] * 3, [torch.zeros(K, 4)] * 3)
    detector.mask_heads = nn.ModuleList(
        SameMask(logits) for logits in ([4.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [2.0, 1.0, 0.0])
    )
    masks = detector._mask_probabilities(torch.zeros(2, 4, 14, 14), torch.tensor([0, 1]))
    sigmoid = [[1 / (1 + math.exp(-logit)) for logit in of_class] for of_class in ([4.0, -1.0, 2.0], [0.0, 0.0, 1.0])]
    assert masks.shape == (2, 28, 28)
    for mask, values in zip(masks, sigmoid, strict=True):
        torch.testing.assert_close(mask, torch.full((28, 28), sum(values) / 3))


def test_mask_rcnn_learns_the_deltas_of_its_one_stage() -> None:
    detector = MaskRCNN([4] * 4, K, channels=4, fc_width=8)
    detector.box_head, detector.mask_head = SameBox([0.0] * 4, class_deltas()), SameMask([0.0] * K)  # type: ignore[assignment]
    losses = detector._region_losses(LEVELS, [torch.tensor([NEAR, FAR])], [SIZE], [OBJECTS])
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    labels, boxes = [1, 0, 1], torch.tensor([*OBJECTS.boxes.tolist(), NEAR])
    targets = coder.encode_single(OBJECTS.boxes[[0, 1, 0]], boxes)
    distance = (class_deltas()[labels] - targets).abs().sum().item()
    assert losses["box"].item() == pytest.approx(distance / 4, rel=1e-4)
    assert losses["classification"].item() == pytest.approx(math.log(4))
    assert losses["mask"].item() == pytest.approx(math.log(2))
    assert len(losses) == 3
