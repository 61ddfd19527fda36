"""Anchors against hand calculations, where torchvision's drift and round."""

from __future__ import annotations

import math

import pytest
import torch

from dit_bench.models.detectors.anchors import AnchorGrid, inside

STRIDES = (8, 16, 32, 64, 128)
GRIDS = [(100, 168), (50, 84), (25, 42), (13, 21), (7, 11)]
"""Levels P3 … P7 of an image of 800x1344."""


@pytest.fixture(scope="module")
def retinanet_grid() -> AnchorGrid:
    return AnchorGrid(STRIDES, octave_base_scale=4, scales_per_octave=3, ratios=(0.5, 1.0, 2.0))


def test_sizes_are_not_rounded(retinanet_grid: AnchorGrid) -> None:
    """RetinaNet on stride 8: 32 px times 2^0, 2^(1/3), 2^(2/3); wide shapes first, then squares, then tall ones."""
    anchors = retinanet_grid([(2, 3)] * 5, "cpu")[0]
    expected = [
        (45.254834, 22.627417),
        (57.017518, 28.508759),
        (71.837573, 35.918786),
        (32.0, 32.0),
        (40.317474, 40.317474),
        (50.796834, 50.796834),
        (22.627417, 45.254834),
        (28.508759, 57.017518),
        (35.918786, 71.837573),
    ]
    torch.testing.assert_close(anchors[:9, 2:] - anchors[:9, :2], torch.tensor(expected))
    torch.testing.assert_close(anchors[:9, 2:] + anchors[:9, :2], torch.zeros(9, 2), atol=1e-5, rtol=0)


def test_centres_follow_exact_strides(retinanet_grid: AnchorGrid) -> None:
    """Last P6 centre y 768 and last P7 centre (1280, 768), where torchvision has 732 and (1220, 684)."""
    levels = retinanet_grid(GRIDS, "cpu")
    assert [len(level) for level in levels] == [9 * height * width for height, width in GRIDS]
    for stride, (height, width), level in zip(STRIDES, GRIDS, levels, strict=True):
        centre = (level[-1, :2] + level[-1, 2:]) / 2
        torch.testing.assert_close(centre, torch.tensor([(width - 1.0) * stride, (height - 1.0) * stride]))
    last = [((level[-1, :2] + level[-1, 2:]) / 2).tolist() for level in levels]
    assert last[3][1] == pytest.approx(768)
    assert last[4] == pytest.approx([1280, 768])


def test_order_is_row_column_shape() -> None:
    grid = AnchorGrid([8, 16], octave_base_scale=1, ratios=(1.0, 4.0))
    first, second = grid([(2, 3), (1, 1)], "cpu")
    assert grid.num_per_cell == 2
    assert first[:4].tolist() == [[-4, -4, 4, 4], [-2, -8, 2, 8], [4, -4, 12, 4], [6, -8, 10, 8]]
    assert first[6].tolist() == [-4, 4, 4, 12], "second row"
    assert second.tolist() == [[-8, -8, 8, 8], [-4, -16, 4, 16]]


def test_inside_counts_the_border_and_excludes_the_far_edge() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [-1, 0, 5, 5], [0, 0, 20, 10], [0, 0, 19.9, 29.9], [0, 0, 5, 30]])
    assert inside(anchors, (30, 20)).tolist() == [True, False, False, True, False]
    assert inside(anchors, (30, 20), border=1.5).all()
    assert inside(anchors, (30, 20), border=0.5).tolist() == [True, False, True, True, True]


def test_on_image_keeps_the_cells_that_the_image_alone_would_have() -> None:
    grid = AnchorGrid(STRIDES, octave_base_scale=8, ratios=(1.0, 2.0))
    size = (70, 130)
    own = [(math.ceil(96 / stride), math.ceil(160 / stride)) for stride in STRIDES]
    grids = [(math.ceil(256 / stride), math.ceil(320 / stride)) for stride in STRIDES]
    masks = grid.on_image(grids, size, "cpu")
    for level, mask, alone in zip(grid(grids, "cpu"), masks, grid(own, "cpu"), strict=True):
        torch.testing.assert_close(level[mask], alone)
