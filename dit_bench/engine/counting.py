"""What rows cost before any image is seen: parameters, MACs of static models, fixed paths of routed ones."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from dit_bench.cost.census import Census, take_census
from dit_bench.cost.conventions import CONVENTIONS, convention_macs, pyramid_macs
from dit_bench.cost.formulas import Grid
from dit_bench.data.plugin_set import dataset_plugin, plugin_classes
from dit_bench.engine.build import build_model, check_model_name
from dit_bench.engine.detection_build import build_detection_network
from dit_bench.engine.dtop_counting import plain_vit_costs
from dit_bench.engine.segmentation_build import build_segmentation_network
from dit_bench.engine.static_costs import StaticCosts, impossible_size
from dit_bench.errors import MissingExtraError, UsageError
from dit_bench.models.dit.costs import grid_costs
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import SELECTED_ROWS
from dit_bench.models.dit.selection import matched_counts, selected_macs
from dit_bench.models.pvt import SIZES
from dit_bench.models.pyramid.cost_parts import head_census
from dit_bench.models.pyramid.network import PyramidNetwork
from dit_bench.models.stages import built_stages
from dit_bench.models.zoo import create, is_routed, plugin_model
from dit_bench.recipes.counting_size import counting_size
from dit_bench.recipes.lineage import is_plain_vit
from dit_bench.recipes.resolve import ResolvedRow
from dit_bench.recipes.schema import Stage
from dit_bench.recipes.settings import RunSettings

NUM_CLASSES = {
    "digit_scenes": 10,
    "imagenet": 1000,
    "coco": 80,
    "ade20k": 150,
    "pascal_context": 59,
    "coco_stuff_10k": 171,
}
DIAGONAL, CHEAPEST, SELECTED = "PVTv2 diagonal", "cheapest", "selected tokens, every image"
ALL_GATES = "all gates, if every scale is live"
COUNTED_LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.SyncBatchNorm)
COLUMNS_AS_PRINTED = (1, 2, 3)
"""Patch embeddings in these columns give the cost that DiT Table 6 prints for `fully`."""


def row_costs(row: ResolvedRow, image_size: Grid | None = None) -> StaticCosts:
    """Costs of a recipe's row, at its own input size unless another is given.

    A row without an implementation, or whose optional package is missing, comes back with its `problem`.
    """
    size = image_size or counting_size(row)
    if row.row.not_implemented is not None:
        return StaticCosts(size, problem="not implemented")
    try:
        return static_costs(row.settings, size)
    except MissingExtraError as error:
        return StaticCosts(size, problem=f"needs {error.extra}")


def static_costs(settings: RunSettings, image_size: Grid) -> StaticCosts:
    """Parameters and MACs that need no data, on the meta device.

    Raises UsageError for an unknown model or an input that the model cannot take, MissingExtraError for a model whose
    optional package is not installed.
    """
    num_classes = counted_classes(settings)
    if is_plain_vit(settings):
        return plain_vit_costs(settings, image_size, num_classes)
    if settings.task != "classification":
        return _pyramid_costs(settings, image_size, num_classes)
    if is_routed(settings.model.name):
        return _routed_costs(settings, image_size, num_classes)
    census, stages = counted_model(settings.model.name, num_classes, image_size)
    macs = {name: convention_macs(census, convention) for name, convention in CONVENTIONS.items()}
    return StaticCosts(image_size, census.params, census.trainable_params, macs=macs, stages=stages)


def counted_classes(settings: RunSettings) -> int:
    """Classes of the data set that the settings name, without reading it (but for one that another package reads)."""
    plugin = dataset_plugin(settings.data.dataset)
    if plugin is not None:
        return plugin_classes(plugin, settings.data)
    options, known = settings.segmentation, NUM_CLASSES[settings.data.dataset]
    if settings.task != "segmentation":
        return known
    if options.classes:
        return len(options.classes)
    return known + (options.zero_label == "class" and settings.data.dataset == "digit_scenes")


def _pyramid_costs(settings: RunSettings, image_size: Grid, num_classes: int) -> StaticCosts:
    """Backbone and head for one image, padded to whole strides of the coarsest map."""
    height, width = image_size
    padded = (-(-height // 32) * 32, -(-width // 32) * 32)
    bare = settings.model_copy(update={"model": settings.model.model_copy(update={"init_weights": None})})
    build = build_detection_network if settings.task == "detection" else build_segmentation_network
    with torch.device("meta"):
        network: PyramidNetwork = build(bare, num_classes).eval()
        if settings.task == "segmentation" and settings.segmentation.segmenter == "semantic_fpn":
            # Published counts are mmsegmentation's, which trains with synchronous norms.
            converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
            assert converted is network, "only norms inside are replaced"
    params = sum(parameter.numel() for parameter in network.parameters())
    trainable = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    try:
        head = head_census(network.head, padded, network.backbone.strides)
        if network.routed is not None:
            routed = _routed_paths(network.routed, padded, head.macs)
            return StaticCosts(image_size, params, trainable, **routed)
        backbone = take_census(network.backbone, torch.zeros(1, 3, *padded, device="meta"))
    except (ValueError, RuntimeError, AssertionError) as error:
        raise impossible_size(settings.model.name, image_size, error) from error
    macs = {name: pyramid_macs(backbone, head, convention) for name, convention in CONVENTIONS.items()}
    of_layers = sum(
        layer.params for part in (backbone, head) for layer in part.layers if issubclass(layer.cls, COUNTED_LAYERS)
    )
    return StaticCosts(image_size, params, trainable, of_layers, macs)


@lru_cache(maxsize=128)
def counted_model(name: str, num_classes: int | None, image_size: Grid) -> tuple[Census, tuple[Stage, ...]]:
    """Census and stages of a static model at one input size; tables have the same model in several rows.

    Raises as `static_costs` does.
    """
    model = meta_model(name, num_classes, image_size)
    stages = tuple(Stage(**asdict(stage)) for stage in built_stages(model))
    return meta_census(model, name, image_size), stages


def meta_model(name: str, num_classes: int | None, image_size: Grid, **arguments: Any) -> nn.Module:
    """A model without memory behind its tensors, for counting; with the classes of its own configuration if None.

    Raises UsageError for an unknown name or an input size that the model is not made for.
    """
    check_model_name(name)
    try:
        with torch.device("meta"):
            return create(name, num_classes=num_classes, image_size=image_size, **arguments).eval()
    except (ValueError, TypeError, AssertionError) as error:
        raise impossible_size(name, image_size, error) from error


def meta_census(model: nn.Module, name: str, image_size: Grid) -> Census:
    """Count one image of (height, width) pixels through a model on the meta device.

    Raises UsageError for a size that the model cannot take.
    """
    channels = getattr(model, "in_chans", 3)
    try:
        return take_census(model, torch.zeros(1, channels, *image_size, device="meta"))
    except (ValueError, RuntimeError, AssertionError) as error:
        plugin = plugin_model(name)
        if plugin is not None and "meta" in str(error):
            raise UsageError(
                f"{plugin}: what it computes depends on the image, so that it has no cost before it sees one",
                remedy="train or evaluate it: each image is counted then",
            ) from error
        raise impossible_size(name, image_size, error) from error


def _routed_costs(settings: RunSettings, image_size: Grid, num_classes: int) -> StaticCosts:
    shape = SIZES[settings.model.name.removeprefix("dit_")]
    if min(image_size) < shape.smallest_side_px:
        raise UsageError(
            f"{settings.model.name} cannot take an input of {image_size[0]}x{image_size[1]} pixels: its sides need"
            f" {shape.smallest_side_px} at least",
            remedy="choose another --image-size",
        )
    bare = settings.model_copy(update={"model": settings.model.model_copy(update={"init_weights": None})})
    with torch.device("meta"):
        model = build_model(bare, num_classes)
    assert isinstance(model, DiT)
    params = sum(parameter.numel() for parameter in model.parameters())
    return StaticCosts(image_size, params, params, **_routed_paths(model, image_size, behind=0))


def _routed_paths(model: DiT, image_size: Grid, behind: int) -> dict[str, Any]:
    """Paths, the one that a row prints and the budget's target, with the MACs of what stands `behind` the grid."""
    costs, paths = model.costs(image_size), fixed_paths(model, image_size)
    target, variant = None, model.routing.variant
    if model.routing.learns or variant in SELECTED_ROWS:
        target = round(model.routing.budget_ratio * costs.base) + behind
    if variant in SELECTED_ROWS:
        paths[SELECTED] = selected_macs(costs, matched_counts(costs, model.routing.budget_ratio))
    whole = {name: macs + (behind if name != ALL_GATES else 0) for name, macs in paths.items()}
    printed = {"fully": _fully_name(model), "diagonal": DIAGONAL, "cheapest": CHEAPEST}
    fixed = dict.fromkeys(SELECTED_ROWS, SELECTED) | printed
    return {"paths": whole, "path_as_printed": fixed.get(variant), "target_macs": target}


def fixed_paths(model: DiT, image_size: Grid) -> dict[str, int]:
    """MACs (convention `matmul`) of the paths through a routing grid that no image decides, gates apart."""
    plain = grid_costs(model.shape, image_size, model.num_classes)
    costs, columns = model.costs(image_size), model.routing.columns
    return {
        DIAGONAL: plain.base,
        _fully_name(model): plain.fully(columns),
        "fully, patch embeddings in three columns": plain.fully(COLUMNS_AS_PRINTED),
        CHEAPEST: plain.cheapest(),
        ALL_GATES: sum(map(sum, costs.row_gates)) + sum(map(sum, costs.column_gates)),
    }


def _fully_name(model: DiT) -> str:
    return f"fully, patch embeddings in columns {', '.join(map(str, model.routing.columns))}"
