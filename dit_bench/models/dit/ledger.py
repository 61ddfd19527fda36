"""The ledger: what was executed per image and node, and its MACs, as exact integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dit_bench.models.dit.costs import GridCosts, image_macs
from dit_bench.models.dit.trace import Decision, RoutingTrace


@dataclass(frozen=True)
class Ledger:
    """Entries of n images on a grid of N scales and M stages. Independent of batch size, execution and device."""

    macs: np.ndarray
    """int64 (n,): executed MACs, gates included."""
    kept: np.ndarray
    """int32 (n, N, M): kept tokens per node."""
    columns: np.ndarray
    """bool (n, N − 1, M + 1): patch embedding ran."""
    live: np.ndarray
    """bool (n, N, M): the scale was live when the stage ran."""

    @classmethod
    def read(cls, trace: RoutingTrace, costs: GridCosts) -> Ledger:
        """The entries of one batch from its trace."""
        count = trace.num_images
        kept = np.stack(
            [
                np.stack([_kept_counts(cell, count, costs.num_tokens[i]) for cell in row], axis=1)
                for i, row in enumerate(trace.kept)
            ],
            axis=1,
        )
        columns = np.stack([np.stack([_flags(cell, count) for cell in row], axis=1) for row in trace.columns], axis=1)
        live = np.stack([np.stack([_flags(cell, count) for cell in row[:-1]], axis=1) for row in trace.live], axis=1)
        return cls(image_macs(trace, costs, torch.int64, _device(trace)).cpu().numpy(), kept, columns, live)

    @classmethod
    def concatenate(cls, parts: list[Ledger]) -> Ledger:
        """The entries of several batches, in order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def select(self, images: np.ndarray) -> Ledger:
        """The entries of some images, by a mask bool `(n,)` or their places."""
        return Ledger(self.macs[images], self.kept[images], self.columns[images], self.live[images])


def _kept_counts(decision: Decision, count: int, num_tokens: int) -> np.ndarray:
    if isinstance(decision, bool):
        return np.full(count, num_tokens * decision, np.int32)
    return decision.detach().round().sum(dim=1).to(torch.int32).cpu().numpy()


def _flags(decision: Decision, count: int) -> np.ndarray:
    if isinstance(decision, bool):
        return np.full(count, decision)
    return (decision.detach() > 0.5).cpu().numpy()


def _device(trace: RoutingTrace) -> torch.device:
    cells: list[Decision] = [cell for rows in (trace.kept, trace.columns, trace.live) for row in rows for cell in row]
    return next((cell.device for cell in cells if isinstance(cell, Tensor)), torch.device("cpu"))
