"""From settings to a segmentation network."""

from __future__ import annotations

from dit_bench.engine.pyramid_build import build_pyramid
from dit_bench.models.segmenters.network import SegmentationNetwork
from dit_bench.models.segmenters.registry import build_segmenter
from dit_bench.recipes.settings import RunSettings


def build_segmentation_network(settings: RunSettings, num_classes: int) -> SegmentationNetwork:
    """The network of the settings, freshly initialised from torch's global stream. Raises as `build_pyramid` does."""
    options = settings.segmentation
    backbone = build_pyramid(settings, output_stride=options.output_stride)
    segmenter = build_segmenter(
        options.segmenter,
        backbone.widths,
        num_classes,
        strides=backbone.strides,
        crop_px=options.crop_px,
        width_divisor=options.width_divisor,
    )
    return SegmentationNetwork(backbone, segmenter)
