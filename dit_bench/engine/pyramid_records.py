"""Routes and multiply-accumulates of the images of a data set, collected while a network for dense prediction runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dit_bench.cost.formulas import Grid
from dit_bench.engine.evaluate import cost_distribution
from dit_bench.engine.pyramid_costs import PyramidCosts
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.parameters import valid_parameters
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.pyramid.network import PyramidNetwork
from dit_bench.runs.image_records import ImageRecords


class PyramidRecorder:
    """What each image executed, whatever the order in which batches come."""

    def __init__(self, network: PyramidNetwork, name: str):
        self._network = network
        self._costs = PyramidCosts(network, name)
        self._ledgers: list[Ledger] = []
        self._order: list[int] = []
        self._tokens: list[list[int]] = []
        self._base: list[int] = []

    @property
    def num_images(self) -> int:
        """Images so far."""
        return len(self._order)

    def add(self, trace: RoutingTrace | None, padded_size: Grid, indices: Sequence[int]) -> None:
        """Take down a batch: the route that it took, and the numbers of its images in the data set."""
        costs, count = self._costs, len(indices)
        self._ledgers.append(costs.ledger(trace, padded_size, count))
        self._tokens += [costs.num_tokens(padded_size)] * count
        self._base += [costs.base_macs(padded_size) if costs.has_grid else 0] * count
        self._order += indices

    def records(self, num_images: int) -> ImageRecords:
        """All images in the order of the data set; each has been taken down exactly once."""
        assert sorted(self._order) == list(range(num_images)), "an image was evaluated twice or not at all"
        in_order = np.argsort(self._order)
        ledger = Ledger.concatenate(self._ledgers)
        return ImageRecords(
            index=np.arange(num_images),
            macs=ledger.macs[in_order],
            kept=ledger.kept[in_order],
            tokens=np.array(self._tokens, np.int32)[in_order],
            columns=ledger.columns[in_order],
            live=ledger.live[in_order],
        )

    def metrics(self) -> dict[str, float]:
        """Distribution of GMACs over the images, GMACs on PVTv2 of the same size, parameters in millions."""
        ledger = Ledger.concatenate(self._ledgers)
        metrics = cost_distribution(ledger.macs) | _parameters(self._network, ledger)
        if self._costs.has_grid:
            metrics["base_gmacs"] = float(np.mean(self._base)) / 1e9
        return metrics


def _parameters(network: PyramidNetwork, ledger: Ledger) -> dict[str, float]:
    total = sum(parameter.numel() for parameter in network.parameters())
    valid = total
    if network.routed is not None:
        every = sum(parameter.numel() for parameter in network.routed.parameters())
        valid = total - every + valid_parameters(network.routed, ledger)
    return {"params_total_m": total / 1e6, "params_valid_m": valid / 1e6}
