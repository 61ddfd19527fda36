"""Single nodes: what is timed computes the same stage, and the ideal is the closed form's ratio."""

from __future__ import annotations

import itertools
from typing import Literal

import pytest
import torch

from dit_bench.cost.latency import wall_stopwatch
from dit_bench.engine.bench_networks import Conditions, controlled_subjects
from dit_bench.engine.bench_nodes import compare_nodes

CPU = Conditions(torch.device("cpu"), compile=False)


@pytest.mark.parametrize(("path", "name"), [("diagonal", "dit_nano"), ("fully", "dit_nano, fully")])
def test_every_scale_is_timed_against_its_dense_stage(path: Literal["diagonal", "fully"], name: str) -> None:
    ticks = itertools.count()
    stopwatch = wall_stopwatch(lambda: float(next(ticks)))
    ((subject, _),) = controlled_subjects("dit_nano", path, [(64, 64)], [2], [0.5], 0.0, CPU)
    assert subject.masks is not None
    lines = list(compare_nodes(subject, subject.masks, CPU, rounds=6, stopwatch=stopwatch))
    assert [line.name for line in lines] == [f"{name}, scale 1/{stride}" for stride in (4, 8, 16, 32)]
    width, hidden, tokens = 96, 384, 4
    last = lines[-1]
    # Without spatial reduction everything is per token, but for the products of queries and keys.
    per_token = 4 * width**2 + 2 * width * hidden + 9 * hidden
    dense, half = (count * per_token + 2 * count**2 * width for count in (tokens, tokens // 2))
    assert (last.baseline.macs_per_image, last.ours.macs_per_image) == (dense, half)
    assert last.speed_up.ideal == pytest.approx(dense / half)
    assert last.speed_up.real.median == pytest.approx(1.0)
    assert (last.kept_mean, last.kept_sd, last.baseline.kind) == (0.5, 0.0, "dense")
