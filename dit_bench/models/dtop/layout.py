"""Sequences of different lengths in one matrix, image after image: where each token lies, and how to pad them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

LOOP_MACS_PER_IMAGE = 3 * 10**5
"""What a call of an attention kernel for one more image costs on a CPU, in MACs that it could do instead."""
COPY_MACS = 3
"""What copying a value into a padded sequence, or out of it, costs, in MACs."""


class RaggedLayout:
    """B images with n_i tokens each, T in all; an image may have none."""

    def __init__(self, counts: Sequence[int], device: torch.device):
        self.counts = list(counts)
        self.device = device
        self.num_images = len(self.counts)
        self.num_tokens = sum(self.counts)
        self.longest = max(1, *self.counts)
        self.is_even = min(self.counts) == self.longest
        """Whether all images have equally many tokens, at least one."""

    @cached_property
    def images(self) -> Tensor:
        """Number `(T,)` of the image that each token belongs to."""
        numbers = torch.arange(self.num_images, device=self.device)
        return numbers.repeat_interleave(self._sizes, output_size=self.num_tokens)

    @cached_property
    def present(self) -> Tensor:
        """`(B, longest)`: true where a padded sequence holds a token.

        The first slot of an image without tokens counts as one, so that a softmax over its keys is defined: it holds
        zeros, and zeros are what attending to nothing gives.
        """
        slots = torch.arange(self.longest, device=self.device)
        return slots[None, :] < self._sizes.clamp(min=1)[:, None]

    def pad(self, tokens: Tensor) -> Tensor:
        """`(T, C)` → `(B, longest, C)`; a view if all images have equally many tokens.

        Slots behind an image's tokens repeat its last one, which is faster than zeros and has to be masked just the
        same; of an image without tokens all slots are zero.
        """
        if self.is_even:
            return tokens.unflatten(0, (self.num_images, self.longest))
        if self.num_tokens == 0:
            return tokens.new_zeros(self.num_images, self.longest, tokens.shape[1])
        padded = tokens.index_select(0, self._sources).unflatten(0, (self.num_images, self.longest))
        return padded if min(self.counts) else padded.masked_fill((self._sizes == 0)[:, None, None], 0.0)

    def unpad(self, padded: Tensor) -> Tensor:
        """`(B, longest, C)` → `(T, C)`."""
        rows = padded.flatten(0, 1)
        return rows if self.is_even else rows.index_select(0, self._slots)

    def spans(self) -> Iterator[tuple[int, int]]:
        """First row of each image and the row behind its last."""
        start = 0
        for count in self.counts:
            yield start, start + count
            start += count

    def loop_pays(self, wasted_macs: int, copied_values: int) -> bool:
        """Whether to run attention image by image: given what padding would waste on and copy for the whole batch."""
        padding = wasted_macs + COPY_MACS * copied_values
        return self.device.type == "cpu" and padding > self.num_images * LOOP_MACS_PER_IMAGE

    @cached_property
    def _sizes(self) -> Tensor:
        return torch.tensor(self.counts, device=self.device)

    @cached_property
    def _sources(self) -> Tensor:
        """Row `(B · longest,)` of the token in each slot of the padded sequences."""
        slots = torch.arange(self.longest, device=self.device)
        starts = self._sizes.cumsum(0) - self._sizes
        rows = starts[:, None] + torch.minimum(slots[None, :], self._sizes[:, None] - 1)
        return rows.flatten().clamp(0, self.num_tokens - 1)

    @cached_property
    def _slots(self) -> Tensor:
        """Places `(T,)` of the tokens in the flattened `(B, longest)` sequences."""
        empty = self.longest - self._sizes
        before = (empty.cumsum(0) - empty).repeat_interleave(self._sizes, output_size=self.num_tokens)
        return torch.arange(self.num_tokens, device=self.device) + before
