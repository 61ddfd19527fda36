"""The ResNet that timm lacks for PVT Table 5: ResNet-18-C, registered with timm.

Variant C of a ResNet (arXiv 1812.01187, §4.2) has three 3x3 convolutions of 32, 32 and 64 channels in place of the 7x7
stem; mmsegmentation calls it V1c and trains Semantic FPN on it. timm has it of the other depths (`resnet50c`,
`resnet101c`), and with 64, 64 and 128 channels as `resnet50s`.
"""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models._builder import build_model_with_cfg
from timm.models.resnet import BasicBlock, ResNet

from dit_bench.models.registration import imagenet_cfg, refuse_pretrained

default_cfgs = generate_default_cfgs({"resnet18c": imagenet_cfg("conv1.0", "fc", pool_size=(7, 7))})


@register_model
def resnet18c(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18-C: two basic blocks in each stage behind a deep stem, 11.7 M parameters."""
    refuse_pretrained("resnet18c", pretrained)
    arguments = {"block": BasicBlock, "layers": (2, 2, 2, 2), "stem_width": 32, "stem_type": "deep"}
    return build_model_with_cfg(ResNet, "resnet18c", False, **{**arguments, **kwargs})
