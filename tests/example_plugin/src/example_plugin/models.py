"""A convolutional network that is small enough for tests."""

from __future__ import annotations

from torch import nn


def tiny_cnn(num_classes: int, image_size: tuple[int, int]) -> nn.Module:
    """Two convolutions, the mean over the image, and a classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, num_classes),
    )
