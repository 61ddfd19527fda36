"""The pyramid against torchvision's where they agree, and by hand where they do not."""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from dit_bench.models.pyramid.fpn import ExtraLevels, FeaturePyramid

WIDTHS = [6, 8, 12, 16]
GRIDS = [(50, 84), (25, 42), (13, 21), (7, 11)]


def make_maps() -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, width, *grid) for width, grid in zip(WIDTHS, GRIDS, strict=True)]


def torchvision_twin(pyramid: FeaturePyramid, widths: list[int], pool: bool) -> FeaturePyramidNetwork:
    twin = FeaturePyramidNetwork(widths, pyramid.out_channels, LastLevelMaxPool() if pool else None)
    pairs = [(pyramid.laterals, twin.inner_blocks), (pyramid.outputs, twin.layer_blocks)]
    for ours, theirs in pairs:
        for conv, block in zip(ours, theirs, strict=True):
            assert isinstance(block, nn.Sequential)
            block[0].load_state_dict(conv.state_dict())
    return twin


@pytest.mark.parametrize(("start_level", "extra", "num_outputs"), [(0, "none", 4), (0, "pool", 5), (1, "none", 3)])
def test_equals_torchvision_on_grids_with_odd_sides(start_level: int, extra: ExtraLevels, num_outputs: int) -> None:
    pyramid = FeaturePyramid(WIDTHS, start_level=start_level, num_outputs=num_outputs, extra=extra, out_channels=8)
    nn.init.normal_(pyramid.laterals[-1].bias)  # type: ignore[arg-type]
    maps = make_maps()
    twin = torchvision_twin(pyramid, WIDTHS[start_level:], extra == "pool")
    theirs = twin(OrderedDict((str(k), feature) for k, feature in enumerate(maps[start_level:])))
    ours = pyramid(maps)
    assert len(ours) == len(theirs) == num_outputs
    for level, expected in zip(ours, theirs.values(), strict=True):
        torch.testing.assert_close(level, expected)


@pytest.mark.parametrize("extra", ["conv_on_input", "conv_on_output"])
def test_extra_levels_have_their_source_and_no_relu(extra: ExtraLevels) -> None:
    maps = make_maps()
    pyramid = FeaturePyramid(WIDTHS, start_level=1, num_outputs=5, extra=extra, out_channels=8)
    levels = pyramid(maps)
    first, second = pyramid.extra_convs
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    source = maps[-1] if extra == "conv_on_input" else levels[2]
    p6 = functional.conv2d(source, first.weight, first.bias, stride=2, padding=1)
    p7 = functional.conv2d(p6, second.weight, second.bias, stride=2, padding=1)
    assert (p6 < 0).any(), "a rectifier would be seen"
    torch.testing.assert_close(levels[3:], [p6, p7])
    assert [tuple(level.shape[2:]) for level in levels] == [(25, 42), (13, 21), (7, 11), (4, 6), (2, 3)]


@pytest.mark.parametrize("extra", ["conv_on_input", "conv_on_output"])
def test_weights_are_xavier_uniform_and_biases_zero(extra: ExtraLevels) -> None:
    pyramid = FeaturePyramid(WIDTHS, start_level=1, num_outputs=5, extra=extra, out_channels=64)
    for conv in pyramid.modules():
        if isinstance(conv, nn.Conv2d):
            taps = conv.kernel_size[0] ** 2
            bound = math.sqrt(6 / (taps * (conv.in_channels + conv.out_channels)))
            assert 0.95 * bound < conv.weight.abs().max() <= bound
            assert conv.bias is not None
            assert not conv.bias.any()


def test_number_of_parameters() -> None:
    """Laterals 1x1, outputs 3x3 and both extra convolutions with biases, of PVTv2's widths and 256 channels."""
    widths = [64, 128, 320, 512]
    laterals, conv = 256 * (128 + 320 + 512) + 3 * 256, 256 * 256 * 9 + 256
    expected = {"conv_on_input": laterals + 4 * conv + 256 * 512 * 9 + 256, "conv_on_output": laterals + 5 * conv}
    for extra, number in expected.items():
        pyramid = FeaturePyramid(widths, start_level=1, num_outputs=5, extra=extra)  # type: ignore[arg-type]
        assert sum(parameter.numel() for parameter in pyramid.parameters()) == number
