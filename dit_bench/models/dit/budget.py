"""The complexity constraint of DiT (§3.3, Eq. 5-7) on executed cost."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dit_bench.models import shares
from dit_bench.models.dit.costs import GridCosts, image_macs
from dit_bench.models.dit.trace import RoutingTrace


@dataclass(frozen=True)
class BudgetLoss:
    """`(mean_B C_space / C_base − mu)²` with the cost it was computed from; of a share of a batch, its part of both."""

    loss: Tensor
    cost_ratio: Tensor
    """C_space / C_base, mean over the batch, of the masks that were sampled."""


def budget_loss(trace: RoutingTrace, costs: GridCosts, budget_ratio: float, device: torch.device) -> BudgetLoss:
    """Eq. 6 over the batch mean, so that images may differ; executed cost counts liveness, gates, stem and head."""
    macs, share = image_macs(trace, costs, torch.float32, device), shares.current()
    if share is None:
        ratio = macs.mean() / costs.base
        return BudgetLoss((ratio - budget_ratio) ** 2, ratio.detach())
    own = macs.sum() / share.batch_size / costs.base
    ratio = own + (shares.total(own) - own.detach())
    loss = (ratio - budget_ratio) ** 2
    # The whole gradient of these images, and their part of the value: both add up over the shares.
    return BudgetLoss(loss - (1 - share.fraction) * loss.detach(), own.detach())
