"""The tolerances of one row: defaults by kind of figure, then what the recipe's layers say."""

from __future__ import annotations

from collections.abc import Iterator

from dit_bench.recipes.lineage import is_plain_vit
from dit_bench.recipes.load import LoadedRecipe
from dit_bench.recipes.metrics import METRIC_NAMES, is_time
from dit_bench.recipes.resolve import LEARNED_VARIANTS
from dit_bench.recipes.settings import RunSettings
from dit_bench.recipes.tolerances import Check, SpeedTolerance, Tolerance, given_tolerances

EXACT = Tolerance(kind="exact")
IGNORE = Tolerance(kind="ignore")
QUALITY = Tolerance(kind="seeds", allowed=0.5, limit=3.0)
"""Of accuracies, AP and mean IoU, in percentage points."""
LEARNED_COST = Tolerance(kind="seeds", allowed=0.5, limit=5.0, unit="percent")
"""Of mean MACs where what was learned decides them."""

_QUALITIES = frozenset(
    {
        *("top1_percent", "top5_percent"),
        *("box_ap_percent", "box_ap50_percent", "box_ap75_percent"),
        *("mask_ap_percent", "mask_ap50_percent", "mask_ap75_percent"),
        *("miou_percent", "pixel_accuracy_percent", "class_accuracy_percent"),
    }
)
_MEAN_COSTS = frozenset({"gmacs_mean", "fvcore_gmacs_mean", "fvcore_gmacs_without_aux_mean"})
_SPREAD_OF_COSTS = frozenset({"gmacs_sd", "gmacs_p5", "gmacs_p50", "gmacs_p95", "params_valid_m"})
_FIXED = frozenset({"base_gmacs", "fully_gmacs", "params_total_m", "images_seen"})


def cost_is_learned(settings: RunSettings) -> bool:
    """Whether training decides what an image costs: by gates, or by heads that are sure of a token."""
    if is_plain_vit(settings):
        return settings.pruning.mode != "baseline"
    return settings.model.name.startswith("dit_") and settings.routing.variant in LEARNED_VARIANTS


def default_tolerance(metric: str, settings: RunSettings) -> Tolerance:
    """How a metric is compared where the recipe does not say.

    Exact: what follows from the architecture, and with fixed paths the cost. By seeds: figures of merit and learned
    mean cost. Not compared: what jumps from one training to the next (percentiles of learned cost, AP by size of
    objects, the last loss), unless the weights are the same.
    """
    if metric in _FIXED:
        return EXACT
    if metric in _QUALITIES:
        return QUALITY
    if metric in _MEAN_COSTS:
        return LEARNED_COST if cost_is_learned(settings) else EXACT
    if metric in _SPREAD_OF_COSTS:
        return IGNORE if cost_is_learned(settings) else EXACT
    return IGNORE


def row_tolerances(loaded: LoadedRecipe, row_id: str, profile: str, settings: RunSettings) -> dict[str, Tolerance]:
    """The tolerance of every metric; later wins: default < includes < recipe < row.

    Within one file, what it says of the profile stands above what it says of all.
    """
    found = {metric: default_tolerance(metric, settings) for metric in METRIC_NAMES if not is_time(metric)}
    for check in (*_layers(loaded, profile), loaded.recipe.row(row_id).check):
        found |= given_tolerances(check)
    return found


def speed_tolerance(loaded: LoadedRecipe, row_id: str) -> SpeedTolerance | None:
    """The tolerance of times of one row, in whatever profile; that of the last layer that gives one."""
    checks = [*(layer.content.check for layer in loaded.layers), loaded.recipe.row(row_id).check]
    return next((check.speed for check in reversed(checks) if check.speed is not None), None)


def _layers(loaded: LoadedRecipe, profile: str) -> Iterator[Check]:
    for layer in loaded.layers:
        yield layer.content.check
        part = getattr(layer.content.profiles, profile)
        if part is not None:
            yield part.check
