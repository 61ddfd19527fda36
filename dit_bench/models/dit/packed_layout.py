"""Where the kept tokens of a batch lie in packed execution, and where each finds its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models.dit.neighbours import neighbour_table

GROUP_BYTES = 32 * 2**20
"""On a CPU so much of the feed-forward network's wide activation exists at a time, whole images: it bounds the peak."""


@dataclass(frozen=True)
class Group:
    """Neighbouring images whose feed-forward network runs together."""

    start: int
    end: int
    """First row and the row behind the last."""
    neighbours: Tensor
    """Rows `(9, n)` of each token's 3x3 neighbours, counted from `start`; n for an absent one."""


@dataclass(frozen=True)
class PackedLayout:
    """Where the kept tokens of a batch lie: built once per node, used by all of its blocks."""

    counts: list[int]
    """Kept tokens of each of the A images that have any."""
    rows: Tensor
    """Places `(T,)` of the kept tokens in the flattened `(B, L)` batch, increasing."""
    positions: Tensor
    """Places `(T,)` of the kept tokens in the flattened `(A, L)` grids of the images that take part."""
    neighbours: Tensor
    """Rows `(9, T)` of each token's 3x3 neighbours; T for an absent one."""
    grid: Grid
    _groups: dict[int, list[Group]] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        """A, the number of images that take part."""
        return len(self.counts)

    @property
    def num_tokens(self) -> int:
        """T, the number of kept tokens."""
        return self.rows.numel()

    @property
    def longest(self) -> int:
        """Kept tokens of the image that keeps most."""
        return max(self.counts)

    @property
    def is_even(self) -> bool:
        """Whether all images keep equally many."""
        return self.longest == min(self.counts)

    @cached_property
    def slots(self) -> Tensor:
        """Places `(T,)` of the kept tokens in the flattened `(A, longest)` layout that padded attention uses."""
        sizes = torch.tensor(self.counts, device=self.rows.device)
        empty_before = (self.longest - sizes).cumsum(0) - (self.longest - sizes)
        return torch.arange(self.num_tokens, device=self.rows.device) + empty_before.repeat_interleave(sizes)

    def spans(self) -> Iterator[tuple[int, int]]:
        """First row of each image and the row behind its last."""
        start = 0
        for count in self.counts:
            yield start, start + count
            start += count

    def groups(self, row_bytes: int) -> list[Group]:
        """Neighbouring images together, on a CPU as long as their rows take no more than `GROUP_BYTES`."""
        if row_bytes not in self._groups:
            everything = Group(0, self.num_tokens, self.neighbours)
            bounded = self.rows.device.type == "cpu" and self.num_tokens * row_bytes > GROUP_BYTES
            self._groups[row_bytes] = list(self._split(row_bytes)) if bounded else [everything]
        return self._groups[row_bytes]

    def _split(self, row_bytes: int) -> Iterator[Group]:
        first = 0
        # What follows the last image is more than any group holds, so that the last group ends there.
        for start, end in [*self.spans(), (self.num_tokens, 2 * self.num_tokens)]:
            if start > first and (end - first) * row_bytes > GROUP_BYTES:
                # A token and its neighbours belong to one image, so only absent ones lie outside of the group.
                yield Group(first, start, (self.neighbours[:, first:start] - first).clamp(max=start - first))
                first = start


def build_layout(kept: Tensor, counts: list[int], grid: Grid) -> PackedLayout:
    """The layout of a keep mask `(B, L)` (bool) with `counts` kept tokens per image, not all of them 0."""
    flat = kept.flatten()
    # The counts are on the host already; on a GPU a plain nonzero would wait for the device once more.
    rows = (flat.nonzero_static(size=sum(counts)) if flat.is_cuda else flat.nonzero()).flatten()
    length = kept.shape[1]
    present = [count for count in counts if count]
    positions = rows
    if len(present) < len(counts):
        images = torch.tensor([k for k, count in enumerate(counts) if count], device=kept.device)
        place = torch.full((len(counts),), -1, device=kept.device)
        place[images] = torch.arange(len(present), device=kept.device)
        positions = place[rows // length] * length + rows % length
    neighbours = neighbour_table(positions, len(present), grid)
    return PackedLayout(present, rows, positions, neighbours, grid)
