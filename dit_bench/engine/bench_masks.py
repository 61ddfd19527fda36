"""Keep masks at chosen ratios: a routed network whose cost is set by hand, to time it at any share of kept tokens."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT

Masks = dict[tuple[int, int], Tensor]


def image_ratios(keep: float, spread: float, num_images: int) -> list[float]:
    """Keep ratio of each image: evenly spaced over keep · (1 ± spread), so that their mean is `keep`; cut to 0 … 1."""
    steps = ((2 * number + 1) / num_images - 1 for number in range(num_images))
    return [min(1.0, max(0.0, keep * (1 + spread * step))) for step in steps]


def controlled_masks(
    model: DiT, image_size: Grid, num_images: int, *, keep: float, spread: float = 0.0, seed: int = 0
) -> Masks:
    """Kept tokens `(B, L)`, bool, of every node that the network can use, for images of (height, width) pixels.

    Each image keeps the same share of its tokens in every node, rounded to whole tokens; which ones is random.
    """
    generator = torch.Generator().manual_seed(seed)
    ratios = torch.tensor(image_ratios(keep, spread, num_images), dtype=torch.float64)
    masks: Masks = {}
    for scale, (height, width) in enumerate(model.shape.grids(image_size)):
        counts = (ratios * height * width).round().to(torch.int64)
        for stage in range(model.grid.num_stages):
            if model.grid.rows.uses(scale, stage):
                noise = torch.rand(num_images, height * width, generator=generator)
                ranks = noise.argsort(dim=1).argsort(dim=1)
                masks[scale, stage] = ranks < counts[:, None]
    return masks


def everything(model: DiT, image_size: Grid, num_images: int) -> Masks:
    """Masks that keep every token of every node that the network can use."""
    return controlled_masks(model, image_size, num_images, keep=1.0)


def kept_shares(model: DiT, ledger: Ledger, image_size: Grid) -> np.ndarray:
    """Share of tokens that each image kept `(B,)`: the mean over the nodes whose scale was live for it."""
    tokens = np.array([height * width for height, width in model.shape.grids(image_size)])
    grid, last = model.grid, len(tokens) - 1
    used = [
        [grid.rows.uses(scale, stage) and grid.reached(scale, stage, (last,)) for stage in range(grid.num_stages)]
        for scale in range(len(tokens))
    ]
    counted = ledger.live & np.array(used)
    shares = ledger.kept / tokens[:, None]
    return (shares * counted).sum(axis=(1, 2)) / counted.sum(axis=(1, 2))
