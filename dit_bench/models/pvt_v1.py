"""PVT v1 in the published sizes and in small ones, registered with timm: `timm.create_model("pvt_small")`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models._builder import build_model_with_cfg

from dit_bench.cost.formulas import PyramidShape
from dit_bench.models import pvt
from dit_bench.models.pvt_v1_model import PyramidVisionTransformer
from dit_bench.models.registration import imagenet_cfg, refuse_pretrained

_SMALL = PyramidShape((64, 128, 320, 512), (3, 4, 6, 3), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1))

PVT_SIZES: dict[str, PyramidShape] = {
    # PVT paper, Table 1.
    "tiny": replace(_SMALL, depths=(2, 2, 2, 2)),
    "small": _SMALL,
    "medium": replace(_SMALL, depths=(3, 4, 18, 3)),
    "large": replace(_SMALL, depths=(3, 8, 27, 3)),
    # Table 9 widens Small by 1.4 and prints no widths; heads of 89 = floor(1.4 · 64) channels give its 46.8 M.
    "small_wide": replace(_SMALL, embed_dims=(89, 178, 445, 712)),
    # Ours, for images of about 64 pixels: widths and depths of the small PVTv2.
    "mini": pvt.SIZES["mini"],
    "nano": pvt.SIZES["nano"],
}


def _image_side_px(size: str) -> int:
    """What the position tables are made for."""
    return 64 if size in pvt.SMALL_SIZES else 224


def _cfg(size: str) -> dict[str, Any]:
    side_px = _image_side_px(size)
    return imagenet_cfg("patch_embed1.proj", "head", input_size=(3, side_px, side_px))


default_cfgs = generate_default_cfgs({f"pvt_{size}": _cfg(size) for size in PVT_SIZES})


def _create(size: str, pretrained: bool, kwargs: dict[str, Any]) -> PyramidVisionTransformer:
    refuse_pretrained(f"pvt_{size}", pretrained)
    return build_model_with_cfg(
        PyramidVisionTransformer,
        f"pvt_{size}",
        False,
        feature_cfg={"out_indices": (0, 1, 2, 3), "feature_cls": "getter"},
        shape=PVT_SIZES[size],
        **{"img_size": _image_side_px(size), **kwargs},
    )


@register_model
def pvt_tiny(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformer:
    """PVT-Tiny: depths 2-2-2-2, 13.2 M parameters."""
    return _create("tiny", pretrained, kwargs)


@register_model
def pvt_small(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformer:
    """PVT-Small: depths 3-4-6-3, 24.5 M parameters."""
    return _create("small", pretrained, kwargs)


@register_model
def pvt_medium(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformer:
    """PVT-Medium: depths 3-4-18-3, 44.2 M parameters."""
    return _create("medium", pretrained, kwargs)


@register_model
def pvt_large(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformer:
    """PVT-Large: depths 3-8-27-3, 61.4 M parameters."""
    return _create("large", pretrained, kwargs)


@register_model
def pvt_small_wide(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformer:
    """PVT-Small-Wide of Table 9: PVT-Small, 1.4 times as wide, 46.8 M parameters."""
    return _create("small_wide", pretrained, kwargs)


@register_model
def pvt_mini(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformer:
    """PVT for images of about 64 pixels: widths 24-48-96-128, depths 1-1-2-1, 0.7 M parameters."""
    return _create("mini", pretrained, kwargs)


@register_model
def pvt_nano(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformer:
    """The smallest PVT, for images of about 64 pixels: widths 16-32-64-96, depths 1-1-1-1, 0.3 M parameters."""
    return _create("nano", pretrained, kwargs)
