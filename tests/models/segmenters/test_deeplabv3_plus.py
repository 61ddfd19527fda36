"""DeepLabV3+: torchvision's atrous pyramid with our branches in it, aligned corners, cost in closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from dit_bench.errors import UsageError
from dit_bench.models.pyramid.cost_parts import head_census
from dit_bench.models.segmenters.deeplabv3_plus import AtrousPyramid, DeepLabV3Plus

WIDTHS = [256, 512, 1024, 2048]


@torch.no_grad()
def test_the_pyramid_equals_torchvisions_around_separable_branches() -> None:
    torch.manual_seed(0)
    ours: Any = AtrousPyramid(12, 8, (2, 4, 6))
    theirs: Any = ASPP(12, [2, 4, 6], 8)
    theirs.convs[0].load_state_dict(ours.point.state_dict())
    for number, branch in enumerate(ours.atrous, start=1):
        theirs.convs[number] = branch
    for source, target in ((ours.whole, [*theirs.convs[4]][1:]), (ours.project, [*theirs.project][:3])):
        for own, other in zip(source, target, strict=True):
            other.load_state_dict(own.state_dict())
    cells = torch.randn(2, 12, 10, 14)
    torch.testing.assert_close(ours.eval()(cells), theirs.eval()(cells))


@pytest.mark.parametrize(("stride", "rates"), [(8, [12, 24, 36]), (16, [6, 12, 18]), (32, [6, 12, 18])])
def test_rates_by_output_stride(stride: int, rates: list[int]) -> None:
    with torch.device("meta"):
        segmenter = DeepLabV3Plus([8, 8, 8, 8], 3, channels=8, strides=(4, 8, min(16, stride), stride))
    found = [m.dilation[0] for m in segmenter.modules() if isinstance(m, nn.Conv2d) and m.dilation != (1, 1)]
    assert found == rates


class Fixed(nn.Module):
    """The same map, whatever it is given."""

    def __init__(self, cells: Tensor):
        super().__init__()
        self.cells = cells

    def forward(self, _: Tensor) -> Tensor:
        return self.cells


@torch.no_grad()
def test_the_coarse_map_is_enlarged_with_aligned_corners_and_lies_before_the_fine_one() -> None:
    torch.manual_seed(0)
    segmenter: Any = DeepLabV3Plus([4, 4, 4, 6], 3, channels=2, fine_channels=1)
    coarse, fine = torch.randn(1, 2, 3, 3), torch.randn(1, 1, 5, 9)
    segmenter.pyramid, segmenter.fine = Fixed(coarse), Fixed(fine)
    segmenter.fuse = segmenter.classifier = nn.Identity()
    joined = segmenter([fine] * 4, (20, 36))
    torch.testing.assert_close(joined[:, 2:], fine)
    torch.testing.assert_close(joined[:, :2, ::2, ::4], coarse)
    torch.testing.assert_close(joined[:, :2, 0, 2], coarse[:, :, 0, :2].mean(dim=2))


def _macs(coarse_cells: int, fine_cells: int) -> int:
    """1x1, three separable branches, the pooled cell, the join; then the slim map, two separable ones, the classes."""
    branch = 9 * 2048 + 2048 * 256
    pyramid = coarse_cells * (2048 * 256 + 3 * branch + 5 * 256 * 256) + 2048 * 256
    fuse = 9 * 304 + 304 * 256 + 9 * 256 + 256 * 256
    return pyramid + fine_cells * (256 * 48 + fuse + 256 * 150)


@pytest.mark.parametrize(("strides", "cells"), [((4, 8, 8, 8), 64**2), ((4, 8, 16, 16), 32**2)])
def test_cost(strides: tuple[int, ...], cells: int) -> None:
    with torch.device("meta"):
        census = head_census(DeepLabV3Plus(WIDTHS, 150, strides=strides), (512, 512), strides)
    assert census.macs == _macs(cells, 128**2)
    assert census.unexplained == []
    assert census.without_formula == 0
    assert census.terms["layer.adaptive_pool"] == cells * 2048


def test_one_image_cannot_be_normalised_over_the_batch() -> None:
    segmenter = DeepLabV3Plus([4, 4, 4, 6], 3, channels=2, fine_channels=1).train()
    maps = [torch.randn(1, width, 16 >> level, 16 >> level) for level, width in enumerate((4, 4, 4, 6))]
    with pytest.raises(UsageError, match="one image"):
        segmenter(maps, (64, 64))
    assert segmenter.eval()(maps, (64, 64)).shape == (1, 3, 16, 16)
