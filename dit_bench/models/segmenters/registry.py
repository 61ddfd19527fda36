"""The segmenters by the names that recipes use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dit_bench.models.pyramid.backbones import STRIDES
from dit_bench.models.segmenters.base import Segmenter
from dit_bench.models.segmenters.deeplabv3_plus import DeepLabV3Plus
from dit_bench.models.segmenters.semantic_fpn import SemanticFPN
from dit_bench.models.segmenters.trans2seg import Trans2Seg

SEGMENTERS: dict[str, type[Segmenter]] = {
    "semantic_fpn": SemanticFPN,
    "trans2seg": Trans2Seg,
    "deeplabv3_plus": DeepLabV3Plus,
}

PUBLISHED_WIDTHS: dict[str, dict[str, int]] = {
    "semantic_fpn": {"channels": 256, "head_width": 128},
    "trans2seg": {"width": 256, "mask_width": 64},
    "deeplabv3_plus": {"channels": 256, "fine_channels": 48},
}
"""The widths of each segmenter by the names of its constructor's options."""

BOUND_TO_CROP = ("trans2seg",)


def build_segmenter(
    name: str,
    widths: list[int],
    num_classes: int,
    *,
    strides: Sequence[int] = STRIDES,
    crop_px: int = 512,
    width_divisor: int = 1,
) -> Segmenter:
    """A freshly initialised segmenter with the papers' settings, for classes 0 … K − 1.

    `widths` and `strides` are the backbone's; `crop_px` is the side of a training image, which decides the size of
    layers in Trans2Seg only. Its own widths are the published ones divided by `width_divisor`.
    """
    segmenter: Any = SEGMENTERS[name]
    options: dict[str, Any] = {option: width // width_divisor for option, width in PUBLISHED_WIDTHS[name].items()}
    if name in BOUND_TO_CROP:
        options["crop_px"] = crop_px
    return segmenter(widths, num_classes, strides=strides, **options)
