"""ResNets for small images, registered with timm: what the small PVTs are compared with.

They stand to PVT nano and mini as ResNet-18 and ResNet-50 to PVT-Tiny and PVT-Small: basic blocks and bottlenecks, with
about as many parameters. timm's plain stem has 64 channels whatever the widths, so theirs is the deep one.
"""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models._builder import build_model_with_cfg
from timm.models.resnet import BasicBlock, Bottleneck, ResNet

from dit_bench.models.registration import imagenet_cfg, refuse_pretrained

IMAGE_SIDE_PX = 64
SIZES: dict[str, dict[str, Any]] = {
    "resnet_mini": {"block": Bottleneck, "layers": (2, 2, 2, 2), "channels": (16, 32, 64, 96)},
    "resnet_nano": {"block": BasicBlock, "layers": (2, 2, 2, 2), "channels": (16, 32, 48, 64)},
}


def _cfg() -> dict[str, Any]:
    side_px = IMAGE_SIDE_PX
    return imagenet_cfg("conv1.0", "fc", input_size=(3, side_px, side_px), pool_size=(side_px // 32, side_px // 32))


default_cfgs = generate_default_cfgs({name: _cfg() for name in SIZES})


def _create(name: str, pretrained: bool, kwargs: dict[str, Any]) -> ResNet:
    refuse_pretrained(name, pretrained)
    arguments = {"stem_width": 8, "stem_type": "deep", **SIZES[name]}
    return build_model_with_cfg(ResNet, name, False, **{**arguments, **kwargs})


@register_model
def resnet_mini(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """Two bottlenecks in each stage, widths 64-128-256-384 behind them, 0.6 M parameters without the classifier."""
    return _create("resnet_mini", pretrained, kwargs)


@register_model
def resnet_nano(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """Two basic blocks in each stage, widths 16-32-48-64, 0.3 M parameters without the classifier."""
    return _create("resnet_nano", pretrained, kwargs)
