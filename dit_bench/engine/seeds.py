"""One seed, many random streams: each use of randomness has its own, so that none disturbs another."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def stream_seed(seed: int, stream: str, *numbers: int) -> int:
    """A 63-bit seed for a named stream of a run's seed, the same on every platform."""
    text = ":".join([str(seed), stream, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global streams (initialisation, drop path) of Python, NumPy and torch."""
    random.seed(stream_seed(seed, "python"))
    np.random.seed(stream_seed(seed, "numpy") % 2**32)
    torch.manual_seed(stream_seed(seed, "torch"))


@contextmanager
def numpy_stream(seed: int, stream: str, *numbers: int) -> Iterator[None]:
    """Within the block NumPy's global stream is that of the name; afterwards it goes on as if nothing had happened."""
    state = np.random.get_state()
    np.random.seed(stream_seed(seed, stream, *numbers) % 2**32)
    try:
        yield
    finally:
        np.random.set_state(state)
