"""Samples read one by one, in this process or in workers, and put together as batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from dit_bench.errors import BenchError

SampleT = TypeVar("SampleT")
BatchT = TypeVar("BatchT")
Position = tuple[int, int]
"""Position in the epoch, number of the image."""


def read_batches(
    read: Callable[[int, int], SampleT],
    positions: Iterable[list[Position]],
    collate: Callable[[list[SampleT]], BatchT],
    workers: int,
) -> Iterator[BatchT]:
    """Yield a batch for each list of positions, in their order, whatever the number of workers.

    `read` makes a sample of a position and the number of an image; `collate` makes a batch of samples. Both run in the
    workers, so they have to be functions or objects that can be sent there.

    Raises:
        BenchError: what `read` raised for the first sample that failed in a batch, once that batch is due.
    """
    loader = DataLoader(
        _Samples(read),
        batch_sampler=positions,  # type: ignore[arg-type]  # any iterable of lists of keys will do
        num_workers=workers,
        collate_fn=_Collate(collate),
        generator=torch.Generator(),  # DataLoader draws a seed for its workers; not from the global stream
    )
    for batch in loader:
        if isinstance(batch, BenchError):
            raise batch
        yield batch


class _Samples(TorchDataset, Generic[SampleT]):
    """Samples by position; a failure is handed back as a value."""

    def __init__(self, read: Callable[[int, int], SampleT]):
        self.read = read

    def __getitem__(self, key: Position) -> SampleT | BenchError:
        try:
            return self.read(*key)
        except BenchError as error:
            # as a value, since a worker's exception arrives with its traceback as the message
            return error


@dataclass(frozen=True)
class _Collate(Generic[SampleT, BatchT]):
    """A batch of samples, or the first failure among them."""

    collate: Callable[[list[SampleT]], BatchT]

    def __call__(self, samples: list[SampleT | BenchError]) -> BatchT | BenchError:
        read = []
        for sample in samples:
            if isinstance(sample, BenchError):
                return sample
            read.append(sample)
        return self.collate(read)
