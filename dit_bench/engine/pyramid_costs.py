"""What each image costs in a network for dense prediction: its route on the backbone's grid, and the head behind it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dit_bench.cost.formulas import Grid
from dit_bench.engine.accounting import diagonal_trace
from dit_bench.models.dit.costs import GridCosts, grid_costs
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.pvt import SIZES
from dit_bench.models.pyramid.cost_parts import CostParts
from dit_bench.models.pyramid.network import PyramidNetwork
from dit_bench.models.zoo import size_of


class PyramidCosts:
    """MACs per image of a network, padding included; the head counts as published figures count it.

    A backbone without a routing grid is one node that every image passes.
    """

    def __init__(self, network: PyramidNetwork, name: str):
        self._network, self._size = network, size_of(name)
        self._parts = CostParts(network)

    @property
    def has_grid(self) -> bool:
        """Whether the backbone is a DiT or a PVTv2, the diagonal of the grid."""
        return self._size is not None

    def grid(self, padded_size: Grid) -> GridCosts:
        """Costs of the backbone's nodes, without a classifier."""
        if self._network.routed is not None:
            return self._network.routed.costs(padded_size)
        assert self._size is not None, "no routing grid"
        return grid_costs(SIZES[self._size], padded_size, 0)

    def base_macs(self, padded_size: Grid) -> int:
        """MACs of the same head on PVTv2 of the same size."""
        return self.grid(padded_size).base + self._parts.head_macs(padded_size)

    def num_tokens(self, padded_size: Grid) -> list[int]:
        """Tokens per scale; the only node of a backbone without a grid counts as one token."""
        return self.grid(padded_size).num_tokens if self.has_grid else [1]

    def ledger(self, trace: RoutingTrace | None, padded_size: Grid, count: int) -> Ledger:
        """What each image of a batch executed."""
        head = self._parts.head_macs(padded_size)
        if not self.has_grid:
            return Ledger(
                macs=np.full(count, self._parts.backbone_macs(padded_size) + head, np.int64),
                kept=np.ones((count, 1, 1), np.int32),
                columns=np.zeros((count, 0, 2), np.bool_),
                live=np.ones((count, 1, 1), np.bool_),
            )
        costs = self.grid(padded_size)
        found = Ledger.read(diagonal_trace(costs, count) if trace is None else trace, costs)
        return replace(found, macs=found.macs + head)
