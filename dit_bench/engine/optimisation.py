"""AdamW with separate groups, and the cosine schedule with warm-up (timm's), as the settings say."""

from __future__ import annotations

from typing import Any

import torch
from timm.scheduler import CosineLRScheduler
from torch import nn

from dit_bench.models.dit.model import DiT
from dit_bench.recipes.settings import RunSettings


def build_optimiser(model: nn.Module, settings: RunSettings) -> torch.optim.AdamW:
    """AdamW over three groups: decayed weights; biases, norms and entry scales; the gates at their own rate.

    One-dimensional parameters, biases, gates and what the model itself names are never decayed (recipe of DeiT; decay
    pulls gates to a half).
    """
    options = settings.optimiser
    gate_names = {f for f, _ in model.named_parameters() if ".gates." in f} if isinstance(model, DiT) else set()
    no_weight_decay: Any = getattr(model, "no_weight_decay", set)
    excluded = no_weight_decay()
    decayed, plain, gates = [], [], []
    for name, parameter in model.named_parameters():
        if name in gate_names:
            gates.append(parameter)
        elif parameter.ndim <= 1 or name in excluded:
            plain.append(parameter)
        else:
            decayed.append(parameter)
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if gates:
        groups.append({"params": gates, "weight_decay": 0.0, "lr": options.lr * settings.routing.gate.lr_scale})
    return torch.optim.AdamW(groups, lr=options.lr, betas=(options.beta1, options.beta2), eps=options.eps)


class LearningRate:
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
