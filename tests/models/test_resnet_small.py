"""Small ResNets: blocks of ResNet-18 and -50, about as many parameters as the small PVTs, strides of any ResNet."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models.resnet import BasicBlock, Bottleneck

import dit_bench.models.pvt_v1
import dit_bench.models.resnet_small  # noqa: F401


def _parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(name, num_classes=0).parameters())


@pytest.mark.parametrize("size", ["nano", "mini"])
def test_they_have_about_as_many_parameters_as_pvt(size: str) -> None:
    """In print, ResNet-18 has 0.88 times the parameters of PVT-Tiny, and ResNet-50 1.04 times those of PVT-Small."""
    assert _parameters(f"resnet_{size}") == pytest.approx(_parameters(f"pvt_{size}"), rel=0.12)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "block", "widths"),
    [("resnet_nano", BasicBlock, (16, 32, 48, 64)), ("resnet_mini", Bottleneck, (64, 128, 256, 384))],
)
def test_blocks_and_maps(name: str, block: type, widths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model: Any = timm.create_model(name, num_classes=7).eval()
    stages = (model.layer1, model.layer2, model.layer3, model.layer4)
    assert [[type(inner) for inner in stage] for stage in stages] == [[block, block]] * 4
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 7)
    features: Any = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    shapes = [tuple(cells.shape[1:]) for cells in features(torch.randn(1, 3, 128, 64))]
    assert shapes == [(width, 32 // 2**n, 16 // 2**n) for n, width in enumerate(widths)]


def test_pretrained_weights_are_refused() -> None:
    with pytest.raises(RuntimeError, match="resnet_mini: pretrained weights are not downloaded"):
        timm.create_model("resnet_mini", pretrained=True)
