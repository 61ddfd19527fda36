"""The complexity constraint of DiT (§3.3, Eq. 5-7) on executed cost."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dit_bench.models.dit.costs import GridCosts, image_macs
from dit_bench.models.dit.trace import RoutingTrace


@dataclass(frozen=True)
class BudgetLoss:
    """`(mean_B C_space / C_base − mu)²` with the cost it was computed from."""

    loss: Tensor
    cost_ratio: Tensor
    """C_space / C_base, mean over the batch, of the masks that were sampled."""


def budget_loss(trace: RoutingTrace, costs: GridCosts, budget_ratio: float, device: torch.device) -> BudgetLoss:
    """Eq. 6 over the batch mean, so that images may differ; executed cost counts liveness, gates, stem and head."""
    ratio = image_macs(trace, costs, torch.float32, device).mean() / costs.base
    return BudgetLoss((ratio - budget_ratio) ** 2, ratio.detach())
