"""ResNet-18-C: a deep stem on timm's ResNet-18, and the same form as timm's deeper ResNets of variant C."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

import dit_bench.models.resnet_c  # noqa: F401


def _meta(name: str) -> Any:
    with torch.device("meta"):
        return timm.create_model(name)


def test_only_the_stem_differs_from_resnet18() -> None:
    ours, plain = _meta("resnet18c").state_dict(), _meta("resnet18").state_dict()
    assert {key for key in plain if not key.startswith("conv1.")} == {k for k in ours if not k.startswith("conv1.")}
    assert all(ours[key].shape == plain[key].shape for key in plain if not key.startswith("conv1."))
    stem = [tuple(value.shape) for key, value in ours.items() if key.startswith("conv1.") and value.dim() == 4]
    assert stem == [(32, 3, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3)]


def test_parameters() -> None:
    """torchvision's ResNet-18 has 11 689 512; its 7x7 stem of 64 channels makes room for three 3x3 and two norms."""
    stem = 9 * (3 * 32 + 32 * 32 + 32 * 64) + 2 * 2 * 32
    assert sum(p.numel() for p in _meta("resnet18c").parameters()) == 11_689_512 - 49 * 3 * 64 + stem


def test_stem_is_that_of_timms_deeper_ones() -> None:
    ours, deeper = _meta("resnet18c").conv1, _meta("resnet50c").conv1
    assert repr(ours) == repr(deeper)
    assert [layer.stride for layer in ours if isinstance(layer, nn.Conv2d)] == [(2, 2), (1, 1), (1, 1)]


@torch.no_grad()
def test_maps_classes_and_configuration() -> None:
    torch.manual_seed(0)
    features: Any = timm.create_model("resnet18c", features_only=True, out_indices=(1, 2, 3, 4)).eval()
    shapes = [tuple(cells.shape) for cells in features(torch.randn(1, 3, 64, 32))]
    assert shapes == [(1, 64, 16, 8), (1, 128, 8, 4), (1, 256, 4, 2), (1, 512, 2, 1)]
    assert timm.create_model("resnet18c", num_classes=5).eval()(torch.randn(1, 3, 64, 64)).shape == (1, 5)
    config = timm.get_pretrained_cfg("resnet18c")
    assert config is not None
    assert (config.input_size, config.first_conv, config.classifier) == ((3, 224, 224), "conv1.0", "fc")


def test_pretrained_weights_are_refused() -> None:
    with pytest.raises(RuntimeError, match="resnet18c: pretrained weights are not downloaded"):
        timm.create_model("resnet18c", pretrained=True)
