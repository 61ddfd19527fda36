"""Optimal one-to-one assignment of predictions to objects (DETR, arXiv 2005.12872, §3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from dit_bench.errors import NonFiniteLossError


@torch.no_grad()
def assign(costs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """For each cost matrix `(n, m)` the min(n, m) pairs of a row and a column with the least sum.

    Rows and columns are two int64 tensors on the matrices' device, by increasing row. All matrices are fetched from
    the device at once: give as many of them as there are. Raises NonFiniteLossError for a cost that is not a number or
    infinite.
    """
    fetched = torch.cat([cost.detach().float().flatten() for cost in costs]).cpu()
    if not bool(fetched.isfinite().all()):
        raise NonFiniteLossError(
            f"{int((~fetched.isfinite()).sum())} of {fetched.numel()} costs of matching predictions with objects are "
            "not finite numbers",
            remedy="the network's output overflowed: lower optimiser.lr or set optimiser.clip_grad_norm",
        )
    matrices = [
        part.view(cost.shape) for part, cost in zip(fetched.split([c.numel() for c in costs]), costs, strict=True)
    ]
    pairs = [linear_sum_assignment(matrix.numpy()) for matrix in matrices]
    counts = [len(rows) for rows, _ in pairs]
    # One copy back to the device, too.
    together = torch.from_numpy(np.concatenate([np.stack(pair) for pair in pairs], axis=1)).to(costs[0].device)
    return [(rows, columns) for rows, columns in together.split(counts, dim=1)]
