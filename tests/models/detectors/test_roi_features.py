"""Levels and pooled features against torchvision's pooler and against maps whose average over a box is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from dit_bench.models.detectors.roi_features import assign_levels, pool_regions

STRIDES = (4, 8, 16, 32)


def random_boxes(count: int, width: float, height: float, smallest: float) -> Tensor:
    sizes = torch.exp(torch.rand(count, 2) * math.log(0.9 * min(width, height) / smallest)) * smallest
    corners = torch.rand(count, 2) * (torch.tensor([width, height]) - sizes)
    return torch.cat([corners, corners + sizes], dim=1)


@pytest.mark.parametrize(
    ("side_px", "level"),
    [(0, 0), (5, 0), (56, 0), (111.9, 0), (112, 1), (223.9, 1), (224, 2), (447.9, 2), (448, 3), (1e5, 3)],
)
def test_levels_by_the_rule_of_56(side_px: float, level: int) -> None:
    # The area counts, not the longer side.
    boxes = torch.tensor([[3.0, 5.0, 3 + side_px, 5 + side_px], [0.0, 0.0, side_px * 2, side_px / 2]])
    assert assign_levels(boxes).tolist() == [level, level]


def test_levels_are_those_of_torchvision() -> None:
    torch.manual_seed(0)
    boxes = random_boxes(2000, 1280, 800, 4)
    expected = LevelMapper(2, 5)([boxes])
    assert torch.equal(assign_levels(boxes), expected)
    assert expected.unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("side", "ratio"), [(7, 0), (14, 0), (7, 2)])
def test_pooled_features_are_those_of_torchvision_moved_by_half_a_cell(side: int, ratio: int) -> None:
    """torchvision's pooler leaves out the half cell of the second version of RoIAlign: shift the boxes for it."""
    torch.manual_seed(0)
    height, width = 512, 640
    maps = [torch.randn(2, 3, height // stride, width // stride) for stride in STRIDES]
    # Larger than a cell of their level, below which the two versions treat sizes differently.
    boxes = [random_boxes(count, width, height, 8) for count in (9, 14)]
    pooler = MultiScaleRoIAlign(["0", "1", "2", "3"], side, sampling_ratio=ratio)
    shifted = [of_image - torch.tensor(STRIDES)[assign_levels(of_image)][:, None] / 2 for of_image in boxes]
    expected = pooler({str(k): level for k, level in enumerate(maps)}, shifted, [(height, width)])
    torch.testing.assert_close(pool_regions(maps, boxes, side, sampling_ratio=ratio), expected, rtol=0, atol=1e-4)


def test_a_bin_of_a_map_of_positions_is_its_centre() -> None:
    """A map of each cell's own x and y in pixels, and of its image's and level's numbers, gives the bins' own."""
    height, width, images = 256, 512, 2
    maps = []
    for number, stride in enumerate(STRIDES):
        y, x = torch.meshgrid(
            *((torch.arange(side // stride) + 0.5) * stride for side in (height, width)), indexing="ij"
        )
        level = torch.stack([x, y, torch.full_like(x, number), torch.zeros_like(x)]).repeat(images, 1, 1, 1)
        level[:, 3] = torch.arange(images)[:, None, None]
        maps.append(level)
    # One box per level, in mixed order, half a coarse cell at least from the border.
    first = torch.tensor([[20.5, 31.0, 310.0, 220.25], [40.0, 40.0, 60.0, 75.0]])
    second = torch.tensor([[100.0, 50.0, 350.0, 130.0], [17.0, 16.0, 490.0, 238.0], [201.0, 101.5, 203.5, 104.0]])
    pooled = pool_regions(maps, [first, second], 7)
    assert pooled.shape == (5, 4, 7, 7)
    assert pooled[:, 2].flatten(1).amax(1).tolist() == [2, 0, 1, 2, 0]
    assert pooled[:, 3].flatten(1).amin(1).tolist() == [0, 0, 1, 1, 1]
    for of_box, (x1, y1, x2, y2) in zip(pooled, torch.cat([first, second]).tolist(), strict=True):
        bins = (torch.arange(7) + 0.5) / 7
        torch.testing.assert_close(of_box[0], (x1 + bins * (x2 - x1)).expand(7, 7), rtol=0, atol=1e-2)
        torch.testing.assert_close(of_box[1], (y1 + bins * (y2 - y1))[:, None].expand(7, 7), rtol=0, atol=1e-2)


def test_no_boxes_at_all() -> None:
    maps = [torch.randn(2, 3, 32 // stride, 32 // stride, requires_grad=True) for stride in STRIDES]
    pooled = pool_regions(maps, [torch.zeros(0, 4), torch.zeros(0, 4)], 14)
    assert pooled.shape == (0, 3, 14, 14)
    pooled.sum().backward()
    assert maps[0].grad is not None


def test_half_precision_maps_are_pooled_at_exact_positions() -> None:
    torch.manual_seed(0)
    maps = [torch.randn(1, 3, 512 // stride, 512 // stride).bfloat16() for stride in STRIDES]
    boxes = [random_boxes(20, 512, 512, 8)]
    expected = pool_regions([level.float() for level in maps], boxes, 7)
    assert torch.equal(pool_regions(maps, boxes, 7), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pool_regions(maps, boxes, 7), expected)
