"""The allocator keeps freed memory, where it is glibc's."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from dit_bench.engine.allocator import keep_freed_memory

LARGE = 64 * 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_large_buffer_is_filled_in_once() -> None:
    assert keep_freed_memory()
    for _ in range(30):  # what lies between the buffers settles: at first a few come from new pages
        torch.ones(LARGE // 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(LARGE // 4)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < LARGE / 4096, "the buffer's pages were given back and filled in again"
