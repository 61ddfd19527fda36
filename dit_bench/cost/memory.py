"""Peak memory of one forward pass, beside what lies there anyway."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

_MEMORY_EVENT = "[memory]"


def peak_extra_bytes(run: Callable[[], object], device: torch.device) -> int | None:
    """Most bytes that tensors made during one call hold at once; what was allocated before does not count.

    CUDA: the allocator's own peak over its level at the start. CPU: the running sum of allocations and releases that
    torch's profiler sees at torch's allocator, so temporary buffers inside kernels count and memory that libraries take
    by themselves does not. None on devices that keep no such record.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu":
        return None
    # The profiler's library otherwise talks to standard error about finding no GPU.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        run()
    kineto = profiler.profiler
    assert kineto is not None
    assert kineto.kineto_results is not None
    events: list[Any] = [event for event in kineto.kineto_results.events() if event.name() == _MEMORY_EVENT]
    level = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return peak


def resident_bytes(model: nn.Module) -> int:
    """Bytes of a network's parameters and buffers, those that it shares counted once."""
    tensors = {tensor.data_ptr(): tensor for tensor in (*model.parameters(), *model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
