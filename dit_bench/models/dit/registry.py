"""DiT's sizes in timm's model registry: `timm.create_model("dit_b2", features_only=True)`."""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models._builder import build_model_with_cfg

from dit_bench.models.dit.model import DiT
from dit_bench.models.pvt import SIZES
from dit_bench.models.registration import imagenet_cfg


def _default_cfg(size_px: int) -> dict[str, Any]:
    pool_size = (size_px // 32, size_px // 32)
    return imagenet_cfg("patch_embed.proj", "head", input_size=(3, size_px, size_px), pool_size=pool_size)


default_cfgs = generate_default_cfgs(
    {f"dit_{size}": _default_cfg(224 if size.startswith("b") else 64) for size in SIZES}
)


def _create(size: str, pretrained: bool, kwargs: dict[str, Any]) -> DiT:
    if pretrained:
        raise RuntimeError(f"dit_{size}: weights of DiT were never released; load a run of yours instead")
    return build_model_with_cfg(
        DiT,
        f"dit_{size}",
        False,
        feature_cfg={"out_indices": (0, 1, 2, 3), "feature_cls": "getter"},
        shape=SIZES[size],
        **kwargs,
    )


@register_model
def dit_b1(pretrained: bool = False, **kwargs: Any) -> DiT:
    """DiT over PVTv2-B1."""
    return _create("b1", pretrained, kwargs)


@register_model
def dit_b2(pretrained: bool = False, **kwargs: Any) -> DiT:
    """DiT over PVTv2-B2."""
    return _create("b2", pretrained, kwargs)


@register_model
def dit_b3(pretrained: bool = False, **kwargs: Any) -> DiT:
    """DiT over PVTv2-B3."""
    return _create("b3", pretrained, kwargs)


@register_model
def dit_b4(pretrained: bool = False, **kwargs: Any) -> DiT:
    """DiT over PVTv2-B4."""
    return _create("b4", pretrained, kwargs)


@register_model
def dit_b5(pretrained: bool = False, **kwargs: Any) -> DiT:
    """DiT over PVTv2-B5."""
    return _create("b5", pretrained, kwargs)


@register_model
def dit_midi(pretrained: bool = False, **kwargs: Any) -> DiT:
    """DiT over our PVTv2-midi, for 64-pixel images."""
    return _create("midi", pretrained, kwargs)


@register_model
def dit_mini(pretrained: bool = False, **kwargs: Any) -> DiT:
    """DiT over our PVTv2-mini, for 64-pixel images."""
    return _create("mini", pretrained, kwargs)


@register_model
def dit_nano(pretrained: bool = False, **kwargs: Any) -> DiT:
    """DiT over our PVTv2-nano, for smoke runs."""
    return _create("nano", pretrained, kwargs)
