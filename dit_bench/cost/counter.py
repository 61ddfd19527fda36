"""Count what torch really dispatched, as the audit of the closed forms.

torch's counter reports two FLOPs per MAC. In the releases that we support it has two blind spots on the CPU, both of
which it reports as free: the fused attention kernel, for which it knows no formula, and the fast path of
`nn.MultiheadAttention`, one kernel with all its matrix products inside. Here the formula is added and the fast path
switched off, for the count only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def _cpu_attention_flops(query: Any, key: Any, value: Any, *args: Any, out_val: Any = None, **kwargs: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


_cpu_attention_flops._get_raw = True  # type: ignore[attr-defined] - the counter then passes tensors, not shapes
_MISSING_FORMULAS = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention_flops}


class DispatchCounter:
    """Running total of the matrix products, convolutions and attention kernels that were dispatched."""

    def __init__(self, counter: FlopCounterMode):
        self._counter = counter

    @property
    def macs(self) -> int:
        """MACs dispatched so far."""
        flops = self._counter.get_total_flops()
        assert flops % 2 == 0
        return flops // 2


@contextmanager
def no_fast_path() -> Iterator[None]:
    """`nn.MultiheadAttention` and `nn.TransformerEncoderLayer` step by step instead of in one kernel."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def dispatch_counter() -> Iterator[DispatchCounter]:
    """Count everything that is dispatched inside the block; gradients are off there."""
    counter = FlopCounterMode(display=False, custom_mapping=_MISSING_FORMULAS)
    with no_fast_path(), torch.no_grad(), counter:
        yield DispatchCounter(counter)


def counted_macs(run: Callable[[], object]) -> int:
    """MACs of all matrix products, convolutions and attention kernels that `run` dispatches."""
    with dispatch_counter() as counter:
        run()
    return counter.macs


class _Namespaces(TorchDispatchMode):
    """Which operators were dispatched that are not torch's own."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace not in _KNOWN_NAMESPACES:
            self.foreign.add(f"{func.namespace}::{func.overloadpacket.__name__}")
        return func(*args, **(kwargs or {}))


_KNOWN_NAMESPACES = {"aten", "prim", "prims"}


def foreign_operators(run: Callable[[], object]) -> set[str]:
    """Names of the operators that `run` dispatches and that are not torch's own: whatever they compute is not counted.

    Operators that are compositions of torch's own are dispatched as these.
    """
    with _Namespaces() as seen, no_fast_path(), torch.no_grad():
        run()
    return seen.foreign
