"""Which images of a training batch are computed here, where several processes or portions share a batch.

A network sees its own images only. Two things belong to the batch as a whole, and the result must not depend on how
the batch is shared out: random numbers, which are drawn for all images so that each share takes those of its own; and
sums over the images, such as the number of objects that a loss is divided by. Losses of shares add up to the loss of
the batch. Without a share in force the images at hand are the batch, and nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """Some images of a batch."""

    rows: Tensor
    """int64 `(n,)` on the CPU: places of the images at hand in the batch."""
    batch_size: int
    """Images of the whole batch, B."""
    add_up: Callable[[Tensor], Tensor]
    """Sum of a tensor without gradient over all shares; each of them asks for the same sums in the same order."""

    @property
    def fraction(self) -> float:
        """Images at hand over images of the batch."""
        return len(self.rows) / self.batch_size


_current: Share | None = None


def current() -> Share | None:
    """The share in force; None where the images at hand are the whole batch."""
    return _current


@contextmanager
def computing(share: Share | None) -> Iterator[None]:
    """Within the block a share is in force."""
    global _current
    before, _current = _current, share
    try:
        yield
    finally:
        _current = before


def drawn(shape: Sequence[int], draw: Callable[[torch.Size], Tensor]) -> Tensor:
    """Random numbers of a shape `(n · k, …)`, k per image: drawn for all B images, those of the images at hand.

    What is not drawn image by image, since no k fits, is drawn as it is, and depends on how the batch is shared out.
    """
    if _current is None or shape[0] % len(_current.rows):
        return draw(torch.Size(shape))
    per_image = shape[0] // len(_current.rows)
    whole = draw(torch.Size((_current.batch_size * per_image, *shape[1:])))
    by_image = whole.unflatten(0, (_current.batch_size, per_image))
    return by_image[_current.rows.to(whole.device)].flatten(0, 1)


def total(value: Tensor) -> Tensor:
    """A sum over the images at hand, such as a loss is divided by, as the sum over the batch; without gradient."""
    value = value.detach()
    return value if _current is None else _current.add_up(value)


def total_count(count: int) -> int:
    """The same for a number of things."""
    return count if _current is None else int(_current.add_up(torch.tensor(count)))


def of_all_images(values: Tensor) -> tuple[Tensor, list[int]]:
    """Integers `(n, k)` of the images at hand as those of all images `(B, k)`, and the rows of the images at hand."""
    if _current is None:
        return values, list(range(len(values)))
    whole = values.new_zeros(_current.batch_size, *values.shape[1:])
    whole[_current.rows] = values
    return _current.add_up(whole), _current.rows.tolist()


def part_of_mean(mean: Tensor) -> Tensor:
    """A mean over the images at hand, as their part of the mean over the batch."""
    return mean if _current is None else mean * _current.fraction
