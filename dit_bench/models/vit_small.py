"""The "ViT-Small" of PVT Table 2 and Figure 6: eight blocks of width 768, registered with timm.

It is the model that timm 0.3.2 called ViT-Small (48.8 M parameters), not the ViT-S of today (22.1 M): width 768,
8 blocks, 8 heads, MLP ratio 3, no bias in the query-key-value projection, LayerNorm with epsilon 1e-5. Parameters are
named as in that release.
"""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models._builder import build_model_with_cfg
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from dit_bench.models.registration import imagenet_cfg, refuse_pretrained

WIDTH = 768


class ScaledVisionTransformer(VisionTransformer):
    """timm's vision transformer with a scale of the attention scores other than head width ** -0.5."""

    def __init__(self, *args: Any, qk_scale: float | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if qk_scale is None:
            return
        blocks: Any = self.blocks
        for block in blocks:
            attention = block.attn
            attention.scale = qk_scale
            # The fused kernel of timm's attention takes the scale from the head width, whatever `scale` says.
            attention.fused_attn = False


default_cfgs = generate_default_cfgs(
    {f"vit_small_patch{patch_px}_pvt": imagenet_cfg("patch_embed.proj", "head") for patch_px in (4, 16, 32)}
)


def _create(patch_px: int, pretrained: bool, kwargs: dict[str, Any]) -> ScaledVisionTransformer:
    name = f"vit_small_patch{patch_px}_pvt"
    refuse_pretrained(name, pretrained)
    legacy_qk_scale = kwargs.pop("legacy_qk_scale", False)
    arguments: dict[str, Any] = {
        "patch_size": patch_px,
        "embed_dim": WIDTH,
        "depth": 8,
        "num_heads": 8,
        "mlp_ratio": 3.0,
        "qkv_bias": False,
        "qk_scale": WIDTH**-0.5 if legacy_qk_scale else None,
        "norm_layer": nn.LayerNorm,
        "dynamic_img_size": True,
    }
    return build_model_with_cfg(
        ScaledVisionTransformer,
        name,
        False,
        feature_cfg={"out_indices": 3, "feature_cls": "getter"},
        **{**arguments, **kwargs},
    )


@register_model
def vit_small_patch4_pvt(pretrained: bool = False, **kwargs: Any) -> ScaledVisionTransformer:
    """ViT-Small/4 of PVT Table 8: as `vit_small_patch16_pvt` with patches of 4 pixels."""
    return _create(4, pretrained, kwargs)


@register_model
def vit_small_patch16_pvt(pretrained: bool = False, **kwargs: Any) -> ScaledVisionTransformer:
    """ViT-Small/16 of PVT Table 2: 48.8 M parameters; any input whose sides are multiples of 16 pixels.

    Attention scores are scaled by 96 ** -0.5, as for any model trained from scratch, which the paper's is (§5.1);
    `legacy_qk_scale=True` gives 768 ** -0.5, with which timm 0.3.2 ran its own pretrained weights of this model.
    """
    return _create(16, pretrained, kwargs)


@register_model
def vit_small_patch32_pvt(pretrained: bool = False, **kwargs: Any) -> ScaledVisionTransformer:
    """ViT-Small/32 of PVT Figure 6 and Table 8: as `vit_small_patch16_pvt` with patches of 32 pixels."""
    return _create(32, pretrained, kwargs)
