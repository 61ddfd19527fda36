"""Single nodes of the routing space: packed execution of one stage beside the dense stage, at each scale."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from dit_bench.cost.formulas import Grid
from dit_bench.cost.latency import Stopwatch, speed_up, timed_rounds, warm_up
from dit_bench.cost.memory import peak_extra_bytes
from dit_bench.engine.bench_masks import Masks
from dit_bench.engine.bench_networks import Conditions, Subject
from dit_bench.engine.benchmark import BenchLine, Measured, default_rounds, stopwatch_of
from dit_bench.engine.devices import autocast
from dit_bench.models.dit.masked import masked_stage
from dit_bench.models.dit.packed import packed_stage
from dit_bench.models.dit.policies import node_key


def compare_nodes(
    subject: Subject,
    masks: Masks,
    conditions: Conditions,
    *,
    rounds: int | None = None,
    stopwatch: Stopwatch | None = None,
) -> Iterator[BenchLine]:
    """One line per scale: the subject's stage on PVTv2's path under `masks` against the same stage with all tokens.

    Ideal is the ratio of the stage's closed-form MACs.
    """
    model, batch = subject.model, subject.batch
    costs = model.costs(subject.image_size)
    stopwatch = stopwatch or stopwatch_of(conditions.device)
    generator = torch.Generator().manual_seed(conditions.seed)
    for scale, grid in enumerate(costs.grids):
        blocks = model.grid.stages[node_key(scale, scale)]
        assert isinstance(blocks, nn.ModuleList)
        length = grid[0] * grid[1]
        tokens = torch.randn(batch, length, model.shape.embed_dims[scale], generator=generator).to(conditions.device)
        kept = masks[scale, scale]
        packed = partial(_packed, blocks, tokens, grid, kept, conditions)
        dense = partial(_dense, blocks, tokens, grid, conditions)
        warmed = warm_up([packed, dense], stopwatch)
        ours, theirs = timed_rounds([packed, dense], stopwatch, rounds=rounds or default_rounds(batch))
        counts, cost = kept.sum(dim=1).tolist(), costs.stages[scale][scale]
        macs = sum(map(cost.macs, counts)) / batch
        shares = torch.tensor(counts, dtype=torch.float64) / length
        yield BenchLine(
            f"{subject.name}, scale 1/{4 * 2**scale}",
            subject.image_size,
            batch,
            subject.keep,
            subject.spread,
            float(shares.mean()),
            float(shares.std(correction=0)),
            _measured("dit", packed, ours, macs, conditions),
            _measured("dense", dense, theirs, cost.macs(length), conditions),
            speed_up(ours, theirs, ideal=cost.macs(length) / macs),
            warmed,
        )


def _measured(kind: str, run: partial[Tensor], seconds: list[float], macs: float, conditions: Conditions) -> Measured:
    form = "compiled" if kind == "dit" and conditions.compile else "eager"
    return Measured(kind, form, macs, tuple(seconds), peak_extra_bytes(run, conditions.device))


@torch.no_grad()
def _packed(blocks: nn.ModuleList, tokens: Tensor, grid: Grid, kept: Tensor, conditions: Conditions) -> Tensor:
    with autocast(conditions.device, conditions.numerics):
        return packed_stage(blocks, tokens, grid, kept, compiled=conditions.compile)


@torch.no_grad()
def _dense(blocks: nn.ModuleList, tokens: Tensor, grid: Grid, conditions: Conditions) -> Tensor:
    with autocast(conditions.device, conditions.numerics):
        return masked_stage(blocks, tokens, grid, None)
