"""What region heads learn, on cases small enough to know the answer."""

from __future__ import annotations

import torch
from torch import Tensor

from dit_bench.models.detectors.roi_training import SampledRegions, TrainingBatch, sample_regions
from dit_bench.models.detectors.structures import Objects

K = 5
OBJECTS = Objects(torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 40.0, 40.0]]), torch.tensor([3, 1]))
NO_OBJECTS = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def sampled(
    proposals: Tensor, objects: Objects = OBJECTS, *, iou: float = 0.5, low_quality: bool = False, count: int = 512
) -> SampledRegions:
    (regions,) = sample_regions([proposals], [objects], num_classes=K, iou=iou, low_quality=low_quality, count=count)
    return regions


def test_regions_of_objects_come_first_with_class_box_and_number() -> None:
    # IoU 0.8 with the first, 0.5625 with the second (15² of 20²), nothing with either.
    proposals = torch.tensor([[50.0, 50.0, 60.0, 60.0], [0.0, 0.0, 10.0, 8.0], [20.0, 20.0, 35.0, 35.0]])
    regions = sampled(proposals)
    boxes = [*OBJECTS.boxes, proposals[1], proposals[2], proposals[0]]
    torch.testing.assert_close(regions.boxes, torch.stack(boxes))
    assert regions.labels.tolist() == [3, 1, 3, 1, K]
    assert regions.objects.tolist() == [0, 1, 0, 1]
    assert regions.are_annotated.tolist() == [True, True, False, False, False]
    torch.testing.assert_close(regions.target_boxes, OBJECTS.boxes[[0, 1, 0, 1]])
    torch.testing.assert_close(regions.positives, regions.boxes[:4])
    # A later stage of the cascade asks for more.
    assert sampled(proposals, iou=0.6).labels.tolist() == [3, 1, 3, K, K]
    assert sampled(proposals, iou=0.85).labels.tolist() == [3, 1, K, K, K]


def test_low_quality_gives_every_object_its_best_proposal_but_none_below_the_threshold() -> None:
    # The first and only good proposal overlaps two objects that overlap each other: 0.8 and 0.6.
    objects = Objects(torch.tensor([[0.0, 0.0, 10.0, 8.0], [0.0, 0.0, 10.0, 6.0]]), torch.tensor([2, 4]))
    proposals = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 20.0, 1.0, 21.0]])
    assert sampled(proposals, objects, low_quality=False).labels.tolist() == [2, 4, 2, K]
    assert sampled(proposals, objects, low_quality=True).labels.tolist() == [2, 4, 4, K]
    poor = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    assert sampled(poor, objects, low_quality=True).labels.tolist() == [2, 4, K]


def test_a_quarter_of_512_is_of_objects() -> None:
    torch.manual_seed(0)
    near = OBJECTS.boxes[torch.arange(300) % 2] + torch.rand(300, 4)
    far = torch.rand(1000, 4) + torch.tensor([100.0, 100.0, 110.0, 110.0])
    regions = sampled(torch.cat([near, far]))
    assert len(regions.objects) == 128
    assert (regions.labels < K).tolist() == [True] * 128 + [False] * 384
    assert torch.equal(regions.labels[:128], OBJECTS.labels[regions.objects])
    assert regions.are_annotated.sum() <= 2
    few = sampled(torch.cat([near[:10], far]))
    assert (len(few.objects), len(few.labels)) == (12, 512)


def test_without_objects_everything_is_background() -> None:
    regions = sampled(torch.rand(20, 4).cumsum(1), NO_OBJECTS, count=8)
    assert regions.labels.tolist() == [K] * 8
    assert regions.positives.shape == regions.target_boxes.shape == (0, 4)
    assert not regions.are_annotated.any()


def test_without_proposals_the_objects_own_boxes_are_left() -> None:
    regions = sampled(torch.zeros(0, 4))
    torch.testing.assert_close(regions.boxes, OBJECTS.boxes)
    assert regions.labels.tolist() == [3, 1]
    assert len(sampled(torch.zeros(0, 4), NO_OBJECTS).labels) == 0


def test_a_batch_keeps_the_images_order() -> None:
    far = torch.tensor([[50.0, 50.0, 60.0, 60.0]])
    batch = TrainingBatch([sampled(far), sampled(far, NO_OBJECTS), sampled(far)])
    assert batch.labels.tolist() == [3, 1, K, K, 3, 1, K]
    assert [len(boxes) for boxes in batch.boxes] == [3, 1, 3]
    assert [len(boxes) for boxes in batch.positives] == [2, 0, 2]
    torch.testing.assert_close(batch.target_boxes, OBJECTS.boxes.repeat(2, 1))
    assert len(batch) == 7
