"""Semantic FPN: torchvision's pyramid and the published head by hand; its cost in closed form."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork

from dit_bench.models.pyramid.cost_parts import head_census
from dit_bench.models.segmenters.semantic_fpn import SemanticFPN

WIDTHS = [6, 8, 10, 12]


def _doubled(cells: Any) -> Any:
    return functional.interpolate(cells, scale_factor=2.0, mode="bilinear", align_corners=False)


@torch.no_grad()
def test_equals_the_published_formula() -> None:
    torch.manual_seed(0)
    segmenter: Any = SemanticFPN(WIDTHS, 5, channels=8, head_width=4).eval()
    for norm in segmenter.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    maps = [torch.randn(2, width, 32 >> level, 48 >> level) for level, width in enumerate(WIDTHS)]
    pyramid: Any = FeaturePyramidNetwork(WIDTHS, 8)
    for blocks, convs in (
        (pyramid.inner_blocks, segmenter.pyramid.laterals),
        (pyramid.layer_blocks, segmenter.pyramid.outputs),
    ):
        for block, conv in zip(blocks, convs, strict=True):
            block[0].load_state_dict(conv.state_dict())
    p2, p3, p4, p5 = pyramid(OrderedDict(enumerate(maps))).values()  # type: ignore[arg-type]
    (a,), (b,), (c1, c2), (d1, d2, d3) = (branch.convs for branch in segmenter.branches)
    total = a(p2) + _doubled(b(p3)) + _doubled(c2(_doubled(c1(p4)))) + _doubled(d3(_doubled(d2(_doubled(d1(p5))))))
    expected = segmenter.classifier(total)
    assert expected.shape == (2, 5, 32, 48)
    torch.testing.assert_close(segmenter(maps, (128, 192)), expected)


def _macs(widths: list[int], side_px: int, num_classes: int) -> int:
    """Laterals, outputs, a convolution before each doubling (one at stride 4), the classifier; 256 and 128 channels."""
    cells = [(side_px // stride) ** 2 for stride in (4, 8, 16, 32)]
    laterals = sum(number * width * 256 for number, width in zip(cells, widths, strict=True))
    outputs = sum(cells) * 9 * 256 * 256
    first, further = 9 * 256 * 128, 9 * 128 * 128
    head = sum(cells) * first + (cells[1] + cells[1] + cells[2]) * further
    return laterals + outputs + head + cells[0] * 128 * num_classes


@pytest.mark.parametrize(
    ("widths", "printed"), [([64, 128, 320, 512], 21.45), ([256, 512, 1024, 2048], 22.94)], ids=["PVT", "ResNet-50"]
)
def test_cost(widths: list[int], printed: float) -> None:
    with torch.device("meta"):
        census = head_census(SemanticFPN(widths, 150), (512, 512))
    assert census.macs == _macs(widths, 512, 150)
    assert round(census.macs / 1e9, 2) == printed
    assert census.unexplained == []
    assert census.without_formula == 0


def test_parameters() -> None:
    """Biases in the pyramid and the classifier only; seven convolutions with norms."""
    widths = [64, 128, 320, 512]
    with torch.device("meta"):
        segmenter = SemanticFPN(widths, 150)
    pyramid = sum(widths) * 256 + 4 * 256 + 4 * (9 * 256 * 256 + 256)
    head = 4 * 9 * 256 * 128 + 3 * 9 * 128 * 128 + 7 * 2 * 128 + 128 * 150 + 150
    assert sum(p.numel() for p in segmenter.parameters()) == pyramid + head


def test_levels_of_a_dilated_backbone_are_doubled_as_often_as_their_stride_asks() -> None:
    with torch.device("meta"):
        segmenter = SemanticFPN(WIDTHS, 3, channels=8, head_width=4, strides=(4, 8, 16, 16))
        maps = [torch.zeros(1, width, 64 // s, 64 // s) for width, s in zip(WIDTHS, (4, 8, 16, 16), strict=True)]
        assert segmenter(maps, (64, 64)).shape == (1, 3, 16, 16)


@torch.no_grad()
def test_dropout_takes_whole_channels() -> None:
    torch.manual_seed(0)
    segmenter: Any = SemanticFPN(WIDTHS, 3, channels=8, head_width=64)
    seen: list[Any] = []
    segmenter.dropout.register_forward_hook(lambda _, args, output: seen.append((args[0], output)))
    maps = [torch.randn(4, width, 16 >> level, 16 >> level) for level, width in enumerate(WIDTHS)]
    segmenter.train()(maps, (64, 64))
    given, left = seen[0]
    gone = (left == 0).flatten(2).all(dim=2)
    torch.testing.assert_close(left, torch.where(gone[:, :, None, None], 0.0, given / 0.9))
    assert 0.05 < gone.float().mean() < 0.16
