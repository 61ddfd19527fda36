"""PVTv2 in the published sizes (timm's) and in small ones for small images, and their common size table."""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models.pvt_v2 import PyramidVisionTransformerV2

from dit_bench.cost.formulas import PyramidShape

SIZES: dict[str, PyramidShape] = {
    # PVTv2 paper, Table 1; B5 has MLP ratio 4 throughout.
    "b1": PyramidShape((64, 128, 320, 512), (2, 2, 2, 2), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1)),
    "b2": PyramidShape((64, 128, 320, 512), (3, 4, 6, 3), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1)),
    "b3": PyramidShape((64, 128, 320, 512), (3, 4, 18, 3), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1)),
    "b4": PyramidShape((64, 128, 320, 512), (3, 8, 27, 3), (1, 2, 5, 8), (8, 8, 4, 4), (8, 4, 2, 1)),
    "b5": PyramidShape((64, 128, 320, 512), (3, 6, 40, 3), (1, 2, 5, 8), (4, 4, 4, 4), (8, 4, 2, 1)),
    # Ours, for images of about 64 pixels.
    "midi": PyramidShape((32, 64, 128, 160), (1, 1, 3, 1), (1, 2, 4, 5), (4, 4, 4, 4), (8, 4, 2, 1)),
    "mini": PyramidShape((24, 48, 96, 128), (1, 1, 2, 1), (1, 2, 4, 4), (4, 4, 4, 4), (8, 4, 2, 1)),
    "nano": PyramidShape((16, 32, 64, 96), (1, 1, 1, 1), (1, 2, 4, 4), (4, 4, 4, 4), (8, 4, 2, 1)),
}
SMALL_SIZES = frozenset({"midi", "mini", "nano"})


def pvt_v2_arguments(size: str) -> dict[str, Any]:
    """Constructor arguments of timm's PVTv2 class for a size of `SIZES`."""
    shape = SIZES[size]
    return {
        "embed_dims": shape.embed_dims,
        "depths": shape.depths,
        "num_heads": shape.num_heads,
        "mlp_ratios": shape.mlp_ratios,
        "sr_ratios": shape.sr_ratios,
    }


def _refuse_pretrained(name: str, pretrained: bool) -> None:
    if pretrained:
        raise RuntimeError(f"{name}: no pretrained weights were ever published for this size")


@register_model
def pvt_v2_midi(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformerV2:
    """The largest PVTv2 for 64-pixel images, twice the MACs of mini: widths 32-64-128-160, depths 1-1-3-1."""
    _refuse_pretrained("pvt_v2_midi", pretrained)
    return _build("midi", kwargs)


@register_model
def pvt_v2_mini(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformerV2:
    """PVTv2 for 64-pixel images: widths 24-48-96-128, depths 1-1-2-1."""
    _refuse_pretrained("pvt_v2_mini", pretrained)
    return _build("mini", kwargs)


@register_model
def pvt_v2_nano(pretrained: bool = False, **kwargs: Any) -> PyramidVisionTransformerV2:
    """The smallest PVTv2, for smoke runs: widths 16-32-64-96, depths 1-1-1-1."""
    _refuse_pretrained("pvt_v2_nano", pretrained)
    return _build("nano", kwargs)


def _build(size: str, kwargs: dict[str, Any]) -> PyramidVisionTransformerV2:
    known = {key: value for key, value in kwargs.items() if not key.startswith(("pretrained_", "cache_"))}
    return PyramidVisionTransformerV2(**{**pvt_v2_arguments(size), **known})
