"""AdamW with separate groups, and the cosine schedule with warm-up (timm's), as the settings say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
from timm.scheduler import CosineLRScheduler
from torch import nn

from dit_bench.engine.build import routed_part
from dit_bench.recipes.dense_settings import DetectionSettings, SegmentationSettings
from dit_bench.recipes.lineage import segmentation_updates
from dit_bench.recipes.settings import RunSettings


def build_optimiser(model: nn.Module, settings: RunSettings) -> torch.optim.AdamW:
    """AdamW over groups of parameters that share rate and decay; frozen parameters are in none.

    In classification one-dimensional parameters, biases and what the model itself names are not decayed (recipe of
    DeiT); in dense prediction, what the task's `no_decay` says. Gates have a rate of their own and are never decayed:
    decay pulls them to a half.
    """
    options, dense = settings.optimiser, _dense(settings)
    routed = routed_part(model)
    gates = set() if routed is None else {id(parameter) for parameter in routed.gate_parameters()}
    excluded = _not_decayed(model, settings)
    groups: dict[str, dict[str, Any]] = {}
    # Weights, what is not decayed, gates: the order in which saved states number the parameters.
    parts = [("", 1.0)] if dense is None else [("", 1.0), ("backbone", dense.backbone_lr_scale)]
    for part, lr_scale in parts:
        lr = options.lr * lr_scale
        groups[f"{part} decayed"] = {"params": [], "weight_decay": options.weight_decay, "lr": lr}
        groups[f"{part} plain"] = {"params": [], "weight_decay": 0.0, "lr": lr}
        groups[f"{part} gates"] = {"params": [], "weight_decay": 0.0, "lr": lr * settings.routing.gate.lr_scale}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = "backbone" if dense is not None and name.startswith("backbone.") else ""
        kind = "gates" if id(parameter) in gates else "plain" if name in excluded else "decayed"
        groups[f"{part} {kind}"]["params"].append(parameter)
    used = [group for group in groups.values() if group["params"]]
    return torch.optim.AdamW(used, lr=options.lr, betas=(options.beta1, options.beta2), eps=options.eps)


def _dense(settings: RunSettings) -> DetectionSettings | SegmentationSettings | None:
    """The task's own settings, for tasks whose backbone has a rate and a decay of its own."""
    if settings.task == "classification":
        return None
    return settings.detection if settings.task == "detection" else settings.segmentation


def _not_decayed(model: nn.Module, settings: RunSettings) -> set[str]:
    """Names of the parameters without weight decay, gates apart."""
    no_weight_decay: Any = getattr(model, "no_weight_decay", set)
    names = set(no_weight_decay())
    if (dense := _dense(settings)) is not None:
        every = [name for name, _ in model.named_parameters()] if dense.no_decay == "norms" else []
        return names | {name for name in every if "norm" in name}
    return names | {name for name, parameter in model.named_parameters() if parameter.ndim <= 1}


class RateSchedule(Protocol):
    """Sets the learning rate of the next update."""

    def set(self, epoch: int, updates: int) -> None:
        """For the update after so many whole epochs, and so many updates in all."""
        ...


def build_rate(optimiser: torch.optim.Optimizer, settings: RunSettings, updates_per_epoch: int) -> RateSchedule:
    """The schedule that the settings ask for."""
    if settings.task == "detection":
        return SteppedRate(optimiser, settings.detection)
    if settings.task == "segmentation":
        return PolynomialRate(optimiser, settings.segmentation, segmentation_updates(settings))
    return CosineRate(optimiser, settings, updates_per_epoch)


class ScaledRate(ABC):
    """A schedule that gives every group of parameters the same share of its own full rate."""

    def __init__(self, optimiser: torch.optim.Optimizer):
        # The optimiser and not its groups: loading a state puts new ones in their place.
        self.optimiser = optimiser
        self.full = [group["lr"] for group in optimiser.param_groups]

    @abstractmethod
    def rate(self, full: float, epoch: int, updates: int) -> float:
        """The rate of a group whose full one is given, after so many whole epochs and so many updates in all."""

    def set(self, epoch: int, updates: int) -> None:
        """Set the rate for the next update."""
        for group, full in zip(self.optimiser.param_groups, self.full, strict=True):
            group["lr"] = self.rate(full, epoch, updates)


class SteppedRate(ScaledRate):
    """Detection's schedule: linear warm-up over the first updates, and a fall at each milestone."""

    def __init__(self, optimiser: torch.optim.Optimizer, options: DetectionSettings):
        super().__init__(optimiser)
        self.options = options

    def rate(self, full: float, epoch: int, updates: int) -> float:
        """See `ScaledRate`."""
        options = self.options
        factor = options.decay_factor ** sum(epoch >= milestone for milestone in options.milestone_epochs)
        if updates < options.warmup_updates:
            factor *= 1 - (1 - updates / options.warmup_updates) * (1 - options.warmup_factor)
        return full * factor


class PolynomialRate(ScaledRate):
    """Segmentation's schedule: after a linear warm-up a power of what is left of the training, down to `min_lr`."""

    def __init__(self, optimiser: torch.optim.Optimizer, options: SegmentationSettings, total_updates: int):
        super().__init__(optimiser)
        self.options, self.total_updates = options, total_updates

    def rate(self, full: float, epoch: int, updates: int) -> float:
        """See `ScaledRate`; epochs do not matter."""
        options = self.options
        left = (1 - updates / self.total_updates) ** options.poly_power
        rising = min(1.0, (updates + 1) / options.warmup_updates) if options.warmup_updates else 1.0
        return rising * ((full - options.min_lr) * left + options.min_lr)


class CosineRate:
    """The learning rate as a function of the position in training alone, so that resuming needs no state of it."""

    def __init__(self, optimiser: torch.optim.Optimizer, settings: RunSettings, updates_per_epoch: int):
        options = settings.optimiser
        self.by_update = options.step_by == "update"
        unit = updates_per_epoch if self.by_update else 1
        self.scheduler = CosineLRScheduler(
            optimiser,
            t_initial=options.epochs * unit,
            lr_min=options.min_lr,
            warmup_t=round(options.warmup_epochs * unit),
            warmup_lr_init=options.warmup_lr,
            t_in_epochs=not self.by_update,
        )

    def set(self, epoch: int, updates: int) -> None:
        """Set the rate for the next update. By epoch, epochs 0 and 1 share the first value, as DeiT's loop has it."""
        if self.by_update:
            self.scheduler.step_update(updates)
        else:
            self.scheduler.step(max(epoch - 1, 0))
