"""From settings to a network, with clear refusals: DiT, its base PVTv2, or any other model of the zoo."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from dit_bench.errors import UsageError
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import GateOptions, RoutingOptions
from dit_bench.models.dit.schedule import RoutingSchedule
from dit_bench.models.weights import load_into, read_weights
from dit_bench.models.zoo import create, is_routed, model_names, plugin_model
from dit_bench.recipes.settings import RoutingSettings, RunSettings
from dit_bench.recipes.strict import Strict
from dit_bench.recipes.suggest import did_you_mean


def check_model_name(name: str) -> None:
    """Raise UsageError for a model that is not known, with the nearest right name, or that has two origins.

    A model of another package is imported, so that one that cannot be is refused before any work starts.
    """
    names = model_names()
    if name not in names:
        raise UsageError(f"model.name={name} is not known", remedy=did_you_mean(name, names))
    plugin = plugin_model(name)
    if plugin is not None:
        plugin.load()


def routing_options(settings: RoutingSettings) -> RoutingOptions:
    """The model's half of the routing settings."""
    return RoutingOptions(
        variant=settings.variant,
        columns=tuple(settings.columns),
        gate=GateOptions(**_shared(settings.gate, GateOptions)),
        open_path=settings.open_path,
        entry_scale_init=settings.entry_scale_init,
        budget_ratio=settings.budget_ratio,
    )


def routing_schedule(settings: RoutingSettings) -> RoutingSchedule:
    """The training schedule's half of the routing settings."""
    return RoutingSchedule(**_shared(settings, RoutingSchedule))


def _shared(settings: Strict, options: type) -> dict[str, Any]:
    """The settings that the options have under the same name."""
    return {item.name: getattr(settings, item.name) for item in fields(options)}


def routing_arguments(settings: RunSettings) -> dict[str, Any]:
    """What the constructor of the settings' model takes for routing: nothing for a model without gates.

    Raises UsageError for routing that the model does not have.
    """
    if is_routed(settings.model.name):
        try:
            return {"routing": routing_options(settings.routing)}
        except ValueError as error:
            raise UsageError(f"routing: {error}") from error
    if settings.routing.variant != "diagonal":
        raise UsageError(
            f"routing.variant={settings.routing.variant}: {settings.model.name} has no gates",
            remedy="use routing.variant=diagonal or a dit_ model",
        )
    return {}


def build_model(settings: RunSettings, num_classes: int) -> nn.Module:
    """The network of the settings, freshly initialised from torch's global stream or from `model.init_weights`.

    Raises UsageError for an unknown name or a combination that the network refuses; WeightsError for wrong weights.
    """
    check_model_name(settings.model.name)
    arguments: dict[str, Any] = {
        "drop_rate": settings.model.drop_rate,
        "drop_path_rate": settings.model.drop_path_rate,
        **routing_arguments(settings),
    }
    side_px = settings.data.image_size_px
    try:
        model = create(settings.model.name, num_classes=num_classes, image_size=(side_px, side_px), **arguments)
    except (ValueError, TypeError, AssertionError) as error:
        raise UsageError(f"{settings.model.name} at {side_px}x{side_px}: {error}") from error
    if isinstance(model, DiT):
        model.compile_kernels = settings.numerics.compile
    if settings.model.init_weights is not None:
        load_into(model, read_weights(Path(settings.model.init_weights)), settings.model.init_weights)
    return model


def routed_part(model: nn.Module) -> DiT | None:
    """The DiT that a network is or has as its backbone, else None."""
    return next((module for module in model.modules() if isinstance(module, DiT)), None)


def learned_routing(model: nn.Module) -> DiT | None:
    """The DiT of a network if it has learned gates, else None."""
    routed = routed_part(model)
    return routed if routed is not None and routed.routing.learns else None
