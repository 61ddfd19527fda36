"""From settings to a network: DiT or its base PVTv2, with clear refusals."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import timm
from torch import nn

import dit_bench.models.dit.registry
import dit_bench.models.pvt  # noqa: F401 - registers the small sizes
from dit_bench.errors import UsageError
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import GateOptions, RoutingOptions
from dit_bench.models.dit.schedule import RoutingSchedule
from dit_bench.models.dit.weights import load_into, read_safetensors
from dit_bench.models.pvt import SIZES
from dit_bench.recipes.settings import RoutingSettings, RunSettings, Strict
from dit_bench.recipes.suggest import did_you_mean

MODEL_NAMES = tuple(f"{family}_{size}" for family in ("dit", "pvt_v2") for size in SIZES)


def size_of(name: str) -> str:
    """The PVTv2 size behind a model name; raises UsageError with the nearest right name."""
    if name not in MODEL_NAMES:
        raise UsageError(f"model.name={name} is not known", remedy=did_you_mean(name, MODEL_NAMES))
    return name.rsplit("_", 1)[1]


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


def build_model(settings: RunSettings, num_classes: int) -> nn.Module:
    """The network of the settings, freshly initialised from torch's global stream or from `model.init_weights`.

    Raises UsageError for an unknown name or a combination that the network refuses; WeightsError for wrong weights.
    """
    size_of(settings.model.name)
    arguments = {
        "num_classes": num_classes,
        "drop_rate": settings.model.drop_rate,
        "drop_path_rate": settings.model.drop_path_rate,
    }
    if settings.model.name.startswith("dit_"):
        try:
            arguments["routing"] = routing_options(settings.routing)
        except ValueError as error:
            raise UsageError(f"routing: {error}") from error
    elif settings.routing.variant != "diagonal":
        raise UsageError(
            f"routing.variant={settings.routing.variant}: {settings.model.name} has no gates",
            remedy="use routing.variant=diagonal or a dit_ model",
        )
    try:
        model = timm.create_model(settings.model.name, **arguments)
    except ValueError as error:
        raise UsageError(f"{settings.model.name}: {error}") from error
    if settings.model.init_weights is not None:
        load_into(model, read_safetensors(Path(settings.model.init_weights)), settings.model.init_weights)
    return model


def learned_routing(model: nn.Module) -> DiT | None:
    """The model if it is a DiT with learned gates, else None."""
    return model if isinstance(model, DiT) and model.routing.learns else None
