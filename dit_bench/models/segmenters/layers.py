"""The convolutions that segmenters are made of.

Their norms are BatchNorm; the papers normalise over all GPUs (SyncBatchNorm), which distributed training makes of it.
"""

from __future__ import annotations

import math

from torch import nn


def conv_norm_relu(inputs: int, outputs: int, kernel_size: int, *, dilation: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution without bias that keeps the grid, BatchNorm and ReLU; He initialisation by the output fan."""
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(inputs, outputs, kernel_size, padding=padding, dilation=dilation, groups=groups, bias=False)
    nn.init.normal_(conv.weight, std=math.sqrt(2 / (kernel_size**2 * outputs // groups)))
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def separable_conv(inputs: int, outputs: int, *, dilation: int = 1) -> nn.Sequential:
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution, both with BatchNorm and ReLU."""
    depthwise = conv_norm_relu(inputs, inputs, 3, dilation=dilation, groups=inputs)
    return nn.Sequential(depthwise, conv_norm_relu(inputs, outputs, 1))


def classifier(inputs: int, num_classes: int) -> nn.Conv2d:
    """A 1x1 convolution to the scores, from N(0, 0.01²) and without preference."""
    conv = nn.Conv2d(inputs, num_classes, 1)
    nn.init.normal_(conv.weight, std=0.01)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
