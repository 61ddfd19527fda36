"""The record of one routed forward pass: which tokens were kept, which patch embeddings ran, which scales were live."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dit_bench.cost.formulas import Grid

Decision = bool | Tensor
"""One decision for all images (bool), or per image `(B,)`, or per token `(B, L)` (0 or 1, float)."""


@dataclass
class RoutingTrace:
    """Decisions of a batch. N scales, M stages; the column M has patch embeddings only.

    In training the tensors carry the gates' straight-through gradient.
    """

    num_images: int
    grids: list[Grid]
    kept: list[list[Decision]]
    """`kept[i][j]`: tokens that stage j computed at scale i; zero where the scale is not live."""
    columns: list[list[Decision]]
    """`columns[i][j]`: images whose map went from scale i to i + 1 in column j."""
    live: list[list[Decision]]
    """`live[i][j]`: images whose scale i is live once column j is done, j = 0 … M."""

    @classmethod
    def empty(cls, num_images: int, grids: list[Grid], num_stages: int) -> RoutingTrace:
        """A trace in which nothing has been decided yet."""
        scales = len(grids)
        return cls(
            num_images,
            grids,
            kept=[[False] * num_stages for _ in range(scales)],
            columns=[[False] * (num_stages + 1) for _ in range(scales - 1)],
            live=[[False] * (num_stages + 1) for _ in range(scales)],
        )


def both(first: Decision, second: Decision) -> Decision:
    """Logical and of per-image decisions, differentiable."""
    if isinstance(first, bool):
        return second if first else False
    if isinstance(second, bool):
        return first if second else False
    return first * second


def either(first: Decision, second: Decision) -> Decision:
    """Logical or of per-image decisions, differentiable: 1 − (1 − a)(1 − b)."""
    if isinstance(first, bool):
        return True if first else second
    if isinstance(second, bool):
        return True if second else first
    return 1 - (1 - first) * (1 - second)
