"""Peak memory of calls whose tensors can be added up by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dit_bench.cost.memory import peak_extra_bytes, resident_bytes

CPU = torch.device("cpu")
MILLION = 4 * 10**6
"""Bytes of a million float32 values."""


def test_the_peak_is_what_lives_at_once() -> None:
    given = torch.zeros(10**6)

    def chain() -> Tensor:
        first = given + 1
        second = first + 1
        del first
        third = second + 1
        return third[:1].clone()

    peak = peak_extra_bytes(chain, CPU)
    assert peak is not None
    assert 2 * MILLION <= peak < 2.01 * MILLION


def test_what_was_there_before_is_not_counted() -> None:
    held = [torch.zeros(10**6)]
    assert peak_extra_bytes(held.clear, CPU) == 0


def test_buffers_inside_kernels_count() -> None:
    rows = torch.zeros(1000, 1000)
    peak = peak_extra_bytes(lambda: rows.t().reshape(-1).sum(), CPU)
    assert peak is not None
    assert MILLION <= peak < 1.01 * MILLION


def test_devices_without_a_record_have_no_figure() -> None:
    assert peak_extra_bytes(lambda: None, torch.device("mps")) is None


def test_shared_weights_count_once() -> None:
    first = nn.Linear(10, 10, bias=False)
    second = nn.Linear(10, 10, bias=False)
    second.weight = first.weight
    norm = nn.BatchNorm1d(10)
    # Weight, bias, mean and variance of 10 values, and a counter of 8 bytes.
    assert resident_bytes(nn.Sequential(first, second, norm)) == 400 + 4 * 40 + 8
