"""How the MACs of each image are found: from its route on the grid, or once for a network that routes nothing.

A network of another package whose work depends on the image is counted as it runs, image by image.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from dit_bench.cost.census import take_census
from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import Grid
from dit_bench.errors import UsageError
from dit_bench.models.dit.costs import GridCosts, grid_costs
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.pvt import SIZES
from dit_bench.models.zoo import plugin_model, size_of
from dit_bench.recipes.settings import RunSettings


def model_costs(model: nn.Module, settings: RunSettings, image_size: Grid, num_classes: int) -> GridCosts:
    """Closed-form costs of the network's nodes; PVTv2 is the diagonal of the grid of its size.

    Raises UsageError for a network that has no routing grid around it.
    """
    if isinstance(model, DiT):
        return model.costs(image_size)
    size = size_of(settings.model.name)
    if size is None:
        raise UsageError(f"{settings.model.name} has no routing grid", remedy="name a dit_ or pvt_v2_ model")
    return grid_costs(SIZES[size], image_size, num_classes)


def diagonal_trace(costs: GridCosts, num_images: int) -> RoutingTrace:
    """The routing of a plain PVTv2: all tokens along the diagonal."""
    trace = RoutingTrace.empty(num_images, costs.grids, len(costs.stages[0]))
    for scale in range(len(costs.grids)):
        trace.kept[scale][scale] = True
        trace.live[scale][scale:] = [True] * (len(trace.live[scale]) - scale)
        if scale > 0:
            trace.columns[scale - 1][scale] = True
    return trace


def traced(model: nn.Module, images: Tensor, costs: GridCosts) -> tuple[Tensor, RoutingTrace]:
    """Logits `(B, K)` of images `(B, 3, H, W)` and their route: DiT's own, or the diagonal of a plain PVTv2."""
    if isinstance(model, DiT):
        return model(images, with_trace=True)
    return model(images), diagonal_trace(costs, len(images))


def static_macs(model: nn.Module, image_size: Grid) -> int:
    """MACs that one image of (height, width) pixels takes in a network that does the same for every image.

    Counted on a copy without data (torch's meta device), so it costs no arithmetic.
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    return take_census(shadow, torch.zeros(1, 3, *image_size, device="meta")).dispatched_macs


@dataclass(frozen=True)
class Accounts:
    """The costs of a network at one input size.

    `costs` are those of the grid's nodes; None for a network without a grid, which is one node that every image
    passes for `macs_per_image` MACs; None where each image has to be counted as it runs.
    """

    costs: GridCosts | None
    macs_per_image: int | None = None

    @classmethod
    def of(cls, model: nn.Module, settings: RunSettings, image_size: Grid, num_classes: int) -> Accounts:
        """The accounts of `model` for images of (height, width) pixels."""
        if isinstance(model, DiT) or size_of(settings.model.name) is not None:
            return cls(model_costs(model, settings, image_size, num_classes))
        try:
            return cls(None, static_macs(model, image_size))
        except RuntimeError:
            # Without data a network cannot look at any: what another package's network computes may depend on them.
            if plugin_model(settings.model.name) is None:
                raise
            return cls(None)

    @property
    def num_tokens(self) -> list[int]:
        """Tokens per scale; the only node of a network without a grid counts as one token."""
        return [1] if self.costs is None else self.costs.num_tokens

    def run(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Ledger]:
        """Logits (B, K) of a batch (B, 3, H, W), and what each image executed."""
        if self.costs is None and self.macs_per_image is None:
            each = [counted_macs(partial(model, image)) for image in images.split(1)]
            return model(images), _one_node(np.array(each, np.int64))
        if self.costs is None:
            return model(images), _one_node(np.full(len(images), self.macs_per_image, np.int64))
        logits, trace = traced(model, images, self.costs)
        return logits, Ledger.read(trace, self.costs)

    def fixed_gmacs(self) -> dict[str, float]:
        """GMACs of PVTv2 of the same size and of the fully connected grid; nothing for a network without a grid."""
        if self.costs is None:
            return {}
        columns = tuple(range(len(self.costs.stages[0]) + 1))
        return {"base_gmacs": self.costs.base / 1e9, "fully_gmacs": self.costs.fully(columns) / 1e9}


def _one_node(macs: np.ndarray) -> Ledger:
    """The ledger of a network without a grid, from the MACs of each image."""
    count = len(macs)
    return Ledger(
        macs=macs,
        kept=np.ones((count, 1, 1), np.int32),
        columns=np.zeros((count, 0, 2), np.bool_),
        live=np.ones((count, 1, 1), np.bool_),
    )
