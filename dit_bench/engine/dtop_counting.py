"""What segmentation networks on a plain ViT cost before any image is seen."""

from __future__ import annotations

import torch

from dit_bench.cost.census import take_census
from dit_bench.cost.conventions import CONVENTIONS, convention_macs
from dit_bench.cost.formulas import Grid
from dit_bench.engine.dtop_build import build_plain_vit_network
from dit_bench.engine.static_costs import StaticCosts, impossible_size
from dit_bench.errors import UsageError
from dit_bench.models.dtop.costs import CountingConvention, DTopCosts, segvit_macs
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.dtop.segvit import SegVitNetwork
from dit_bench.recipes.settings import RunSettings

UNPRUNED, UNPRUNED_WITH_AUX = "no token leaves, last head", "no token leaves, all heads"


def plain_vit_costs(settings: RunSettings, image_size: Grid, num_classes: int) -> StaticCosts:
    """Parameters and MACs of one image or window, on the meta device.

    What a pruned network costs is decided by images: here stand its costs without pruning, with the last head alone,
    as the papers print baselines, and with all. Raises UsageError for a size that patches do not divide.
    """
    bare = settings.model_copy(update={"model": settings.model.model_copy(update={"init_weights": None})})
    with torch.device("meta"):
        network = build_plain_vit_network(bare, num_classes).eval()
    params = sum(parameter.numel() for parameter in network.parameters())
    trainable = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    try:
        network.backbone.grid(image_size)
    except UsageError as error:
        raise impossible_size(settings.model.name, image_size, error) from error
    if isinstance(network, DTopNetwork) and settings.pruning.mode != "baseline":
        costs = DTopCosts.of(network, image_size)
        tokens = network.backbone.grid(image_size)[0] * network.backbone.grid(image_size)[1]
        heads = [True] * network.num_stages
        with_aux = costs.macs([tokens] * network.num_stages, heads, upsamplings=0)
        paths = {UNPRUNED: costs.baseline(), UNPRUNED_WITH_AUX: with_aux}
        return StaticCosts(image_size, params, trainable, paths=paths)
    census = take_census(network, torch.zeros(1, 3, *image_size, device="meta"))
    macs = {name: convention_macs(census, convention) for name, convention in CONVENTIONS.items()}
    # Closed forms, which know what the papers' counter met twice.
    return StaticCosts(
        image_size, params, trainable, macs=macs | {name: _closed_form(network, image_size, name) for name in _BOTH}
    )


_BOTH: tuple[CountingConvention, ...] = ("matmul", "fvcore")


def _closed_form(network: DTopNetwork | SegVitNetwork, image_size: Grid, convention: CountingConvention) -> int:
    if isinstance(network, DTopNetwork):
        return DTopCosts.of(network, image_size).baseline(convention)
    return segvit_macs(network, image_size, convention)
