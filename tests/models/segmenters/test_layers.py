"""The convolutions of segmenters, against dense kernels and hand-computed spreads."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.models.segmenters.layers import classifier, conv_norm_relu, separable_conv


def _randomised(module: nn.Module) -> Any:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.weight, norm.bias, norm.running_mean):
                assert values is not None
                nn.init.normal_(values)
            assert norm.running_var is not None
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return module.eval()


def _normed(cells: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """(x − mean) / √(var + ε) · scale + shift, rectified."""
    given: Any = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    mean, var, scale, shift = (values[:, None, None] for values in given)
    return ((cells - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)


@pytest.mark.parametrize("dilation", [1, 3])
@torch.no_grad()
def test_a_separable_convolution_is_a_dense_one_with_a_diagonal_kernel(dilation: int) -> None:
    torch.manual_seed(0)
    layer = _randomised(separable_conv(4, 6, dilation=dilation))
    cells = torch.randn(2, 4, 9, 7)
    (depthwise, norm, _), (pointwise, out_norm, _) = layer
    kernel = torch.zeros(4, 4, 3, 3)
    kernel[range(4), range(4)] = depthwise.weight[:, 0]
    hidden = _normed(functional.conv2d(cells, kernel, padding=dilation, dilation=dilation), norm)
    mixed = torch.einsum("oi,bihw->bohw", pointwise.weight[:, :, 0, 0], hidden)
    torch.testing.assert_close(layer(cells), _normed(mixed, out_norm))


@torch.no_grad()
def test_a_convolution_keeps_the_grid() -> None:
    torch.manual_seed(0)
    layer = _randomised(conv_norm_relu(4, 6, 3))
    cells = torch.randn(1, 4, 5, 8)
    torch.testing.assert_close(layer(cells), _normed(functional.conv2d(cells, layer[0].weight, padding=1), layer[1]))
    assert conv_norm_relu(4, 6, 1)(cells).shape == (1, 6, 5, 8)


def test_initialisation() -> None:
    torch.manual_seed(0)
    expected: list[tuple[Any, float]] = [
        (conv_norm_relu(64, 128, 3)[0], math.sqrt(2 / (9 * 128))),
        (conv_norm_relu(256, 256, 3, groups=256)[0], math.sqrt(2 / 9)),
        (classifier(256, 150), 0.01),
    ]
    for layer, std in expected:
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
    assert conv_norm_relu(4, 4, 3)[0].bias is None
    bias = classifier(8, 3).bias
    assert bias is not None
    assert not bias.any()
