"""From settings to a segmentation network on a plain ViT, with clear refusals."""

from __future__ import annotations

from pathlib import Path

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from dit_bench.engine.build import check_model_name, routing_arguments
from dit_bench.engine.pyramid_build import start_from_classifier
from dit_bench.errors import UsageError
from dit_bench.models.dtop.backbone import PlainVit, build_plain_vit
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.dtop.pruning import NO_PRUNING, PruningRule
from dit_bench.models.dtop.segvit import SegVitNetwork
from dit_bench.recipes.dense_settings import PruningSettings
from dit_bench.recipes.settings import RunSettings


class HalfScale(nn.Module):
    """Pixels minus ImageNet's mean over its deviation, as pixels from −1 to 1."""

    def __init__(self) -> None:
        super().__init__()
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
        self.register_buffer("factor", 2 * deviation, persistent=False)
        self.register_buffer("shift", 2 * mean - 1, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """`(B, 3, H, W)`, same shape."""
        return pixels * self.get_buffer("factor") + self.get_buffer("shift")


def build_plain_vit_network(settings: RunSettings, num_classes: int) -> DTopNetwork | SegVitNetwork:
    """The network of the settings, freshly initialised from torch's global stream; no token leaves yet.

    With `model.init_weights` its backbone starts from a classifier's weights. Raises UsageError for what does not fit
    together, WeightsError for wrong weights.
    """
    name, options = settings.model.name, settings.pruning
    check_model_name(name)
    routing_arguments(settings)  # a plain ViT has none
    arguments = {"drop_path_rate": settings.model.drop_path_rate} if settings.model.drop_path_rate > 0 else {}
    backbone = build_plain_vit(name, **arguments)
    if settings.model.init_weights is not None:
        start_from_classifier(backbone.model, name, Path(settings.model.init_weights), arguments)
    if options.pixel_scale == "half":
        backbone.rescale = HalfScale()
    _check_sizes(settings, backbone)
    if settings.segmentation.segmenter == "segvit":
        return SegVitNetwork(backbone, num_classes, exclude_ignored=options.exclude_ignored)
    try:
        return DTopNetwork(
            backbone,
            num_classes,
            stage_ends=options.stage_ends or None,
            head_kinds=options.heads[0] if len(options.heads) == 1 else options.heads,
            atm_heads=options.atm_heads,
            atm_layers=options.atm_layers,
            exclude_ignored=options.exclude_ignored,
        )
    except ValueError as error:
        raise UsageError(f"pruning: {error}", remedy="see pruning.stage_ends and pruning.heads") from error


def pruning_rule(options: PruningSettings, threshold: float) -> PruningRule:
    """The rule of the settings at a threshold; in the mode of the baseline no token leaves."""
    if options.mode == "baseline":
        return NO_PRUNING
    return PruningRule(variant=options.variant, threshold=threshold, keep=options.keep, share=options.share)


def _check_sizes(settings: RunSettings, backbone: PlainVit) -> None:
    """Crops are whole patches; windows overlap or touch."""
    options, crop_px = settings.segmentation, settings.segmentation.crop_px
    backbone.grid((crop_px, crop_px))
    stride_px = settings.pruning.slide_stride_px
    if stride_px is None:
        return
    if stride_px > crop_px:
        raise UsageError(
            f"pruning.slide_stride_px={stride_px} is larger than segmentation.crop_px={crop_px}",
            remedy="choose a stride of at most the crop, or null for whole images",
        )
    if options.test_short_side_px < crop_px:
        raise UsageError(
            f"segmentation.test_short_side_px={options.test_short_side_px} is smaller than a window of"
            f" segmentation.crop_px={crop_px}",
            remedy="test at least at the size of the crop",
        )
