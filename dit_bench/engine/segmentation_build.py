"""From settings to a segmentation network, on a pyramid or on a plain ViT."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from dit_bench.engine.dtop_build import build_plain_vit_network, pruning_rule
from dit_bench.engine.pyramid_build import build_pyramid, load_network
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.dtop.segvit import SegVitNetwork
from dit_bench.models.segmenters.network import SegmentationNetwork
from dit_bench.models.segmenters.registry import build_segmenter
from dit_bench.recipes.lineage import is_plain_vit
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


AnySegmenter = SegmentationNetwork | DTopNetwork | SegVitNetwork
"""Each has `loss(pixels, labels)` and `segment(pixels)`."""


def build_segmenting_network(settings: RunSettings, num_classes: int) -> AnySegmenter:
    """The network of any segmenter. Raises as `build_pyramid` and `build_plain_vit_network` do."""
    if not is_plain_vit(settings):
        return build_segmentation_network(settings, num_classes)
    return build_plain_vit_network(settings, num_classes)


def set_pruning(network: nn.Module, settings: RunSettings, *, training: bool) -> None:
    """Let tokens of a plain ViT leave as in training or as in the test; nothing happens to other networks."""
    if isinstance(network, DTopNetwork):
        options = settings.pruning
        network.pruning = pruning_rule(options, options.train_threshold if training else options.threshold)


def load_segmenter(settings: RunSettings, weights: Path, num_classes: int) -> AnySegmenter:
    """The network of the settings with weights of a whole segmentation network. Raises as `load_network` does."""
    return load_network(lambda bare: build_segmenting_network(bare, num_classes), settings, weights)
