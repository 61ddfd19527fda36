"""Plain vision transformers for small images, registered with timm: mini for 64 to 128 pixels, nano for smoke runs.

Patches of 8 pixels give 8x8 tokens on 64 and 16x16 on 128 pixels; those of 16 give the one coarse map that detection is
hard on. Like timm's own models, under the same names of parameters, they have a class token and a norm before the
classifier.
"""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models._builder import build_model_with_cfg
from timm.models.vision_transformer import VisionTransformer

from dit_bench.models.registration import imagenet_cfg, refuse_pretrained

IMAGE_SIDE_PX = 64
_MINI = {"embed_dim": 96, "depth": 6, "num_heads": 3}
SIZES: dict[str, dict[str, int]] = {
    "vit_mini_patch8": {"patch_size": 8, **_MINI},
    "vit_mini_patch16": {"patch_size": 16, **_MINI},
    "vit_nano_patch8": {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2},
}


def _cfg() -> dict[str, Any]:
    return imagenet_cfg("patch_embed.proj", "head", input_size=(3, IMAGE_SIDE_PX, IMAGE_SIDE_PX))


default_cfgs = generate_default_cfgs({name: _cfg() for name in SIZES})


def _create(name: str, pretrained: bool, kwargs: dict[str, Any]) -> VisionTransformer:
    refuse_pretrained(name, pretrained)
    arguments: dict[str, Any] = {
        "img_size": IMAGE_SIDE_PX,
        "dynamic_img_size": True,
        # The mean of all tokens is classified, so that each learns what it is part of; a class token would be dropped.
        "global_pool": "avg",
        **SIZES[name],
    }
    return build_model_with_cfg(
        VisionTransformer,
        name,
        False,
        feature_cfg={"out_indices": 3, "feature_cls": "getter"},
        **{**arguments, **kwargs},
    )


@register_model
def vit_mini_patch8(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Six blocks of width 96 with three heads, patches of 8 pixels."""
    return _create("vit_mini_patch8", pretrained, kwargs)


@register_model
def vit_mini_patch16(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """As `vit_mini_patch8` with patches of 16 pixels."""
    return _create("vit_mini_patch16", pretrained, kwargs)


@register_model
def vit_nano_patch8(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Three blocks of width 32 with two heads, patches of 8 pixels."""
    return _create("vit_nano_patch8", pretrained, kwargs)
