"""What our entries in timm's registry share: the ImageNet configuration and the refusal of pretrained weights."""

from __future__ import annotations

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD


def imagenet_cfg(first_conv: str, classifier: str, **overrides: Any) -> dict[str, Any]:
    """Configuration, in timm's terms, of a model for the centre 224 of 256 pixels (PVT §5.1).

    `first_conv` and `classifier` are the names of the modules that depend on the input channels and the classes.
    """
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": None,
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": first_conv,
        "classifier": classifier,
        "fixed_input_size": False,
        **overrides,
    }


def refuse_pretrained(name: str, pretrained: bool) -> None:
    """Nothing is ever downloaded: raises RuntimeError if pretrained weights are asked for."""
    if pretrained:
        raise RuntimeError(f"{name}: pretrained weights are not downloaded; build the model and load a local file")
