"""Routes and multiply-accumulates of the images of a data set, collected while a network for dense prediction runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dit_bench.cost.formulas import Grid
from dit_bench.engine.distributed import interleaved
from dit_bench.engine.evaluate import cost_distribution
from dit_bench.engine.pyramid_costs import PyramidCosts
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.parameters import valid_parameters
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.pyramid.network import PyramidNetwork
from dit_bench.runs.image_records import ImageRecords


@dataclass(frozen=True)
class _Batch:
    """Images of one size."""

    ledger: Ledger
    indices: list[int]
    tokens: list[int]
    """Per scale, the same for each image."""
    base_macs: int
    """Of each image on PVTv2; 0 where there is none of that size."""


class PyramidRecorder:
    """What each image executed, whatever the order in which batches come."""

    def __init__(self, network: PyramidNetwork, name: str):
        self._network = network
        self._costs = PyramidCosts(network, name)
        self._batches: list[_Batch] = []

    @property
    def num_images(self) -> int:
        """Images so far."""
        return sum(len(batch.indices) for batch in self._batches)

    def add(self, trace: RoutingTrace | None, padded_size: Grid, indices: Sequence[int]) -> None:
        """Take down a batch: the route that it took, and the numbers of its images in the data set."""
        costs = self._costs
        self._batches.append(
            _Batch(
                costs.ledger(trace, padded_size, len(indices)),
                list(indices),
                costs.num_tokens(padded_size),
                costs.base_macs(padded_size) if costs.has_grid else 0,
            )
        )

    def share(self, sizes: Sequence[int]) -> None:
        """Tell other processes of our batches, of so many images each, and hear of theirs."""
        assert [len(batch.indices) for batch in self._batches] == list(sizes)
        self._batches = interleaved(self._batches)

    def records(self, num_images: int) -> ImageRecords:
        """All images in the order of the data set; each has been taken down exactly once."""
        order = [index for batch in self._batches for index in batch.indices]
        assert sorted(order) == list(range(num_images)), "an image was evaluated twice or not at all"
        in_order = np.argsort(order)
        ledger = self._ledger()
        tokens = [batch.tokens for batch in self._batches for _ in batch.indices]
        return ImageRecords(
            index=np.arange(num_images),
            macs=ledger.macs[in_order],
            kept=ledger.kept[in_order],
            tokens=np.array(tokens, np.int32)[in_order],
            columns=ledger.columns[in_order],
            live=ledger.live[in_order],
        )

    def metrics(self) -> dict[str, float]:
        """Distribution of GMACs over the images, GMACs on PVTv2 of the same size, parameters in millions."""
        ledger = self._ledger()
        metrics = cost_distribution(ledger.macs) | _parameters(self._network, ledger)
        if self._costs.has_grid:
            base = [batch.base_macs for batch in self._batches for _ in batch.indices]
            metrics["base_gmacs"] = float(np.mean(base)) / 1e9
        return metrics

    def _ledger(self) -> Ledger:
        return Ledger.concatenate([batch.ledger for batch in self._batches])


def _parameters(network: PyramidNetwork, ledger: Ledger) -> dict[str, float]:
    total = sum(parameter.numel() for parameter in network.parameters())
    valid = total
    if network.routed is not None:
        every = sum(parameter.numel() for parameter in network.routed.parameters())
        valid = total - every + valid_parameters(network.routed, ledger)
    return {"params_total_m": total / 1e6, "params_valid_m": valid / 1e6}
