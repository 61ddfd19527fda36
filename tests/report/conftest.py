"""A small table with hand-made runs: easy numbers, so that every expected figure can be worked out on paper."""

import dataclasses
from collections.abc import Callable

import pytest

from dit_bench.report.inputs import ClaimSpec, RowSpec, RunSummary, TableSpec


@pytest.fixture
def spec() -> TableSpec:
    return TableSpec(
        title="DiT Table 6: static & dynamic",
        paper_headings={"gmacs": "GFLOPs", "top1_percent": "Acc.(%)"},
        rows=[
            RowSpec("static", "Static_x | 100%", {"gmacs": 3.8, "top1_percent": 80.7, "top1_difference": -2.4}),
            RowSpec("dynamic", "Dynamic (ours)", {"gmacs": 3.8, "top1_percent": 83.1}),
            RowSpec("fully", "Fully", {"gmacs": 15.6, "top1_percent": 83.5}, note="Three columns."),
        ],
        reference_row="dynamic",
        base_label="PVTv2-B2",
        base_printed_gmacs=4.0,
        claims=[
            ClaimSpec("accuracy", "dynamic", "static", "top1_percent", "Dynamic beats static.", "Table 6, §4.4"),
            ClaimSpec("cost", "fully", "dynamic", "gmacs_mean", "Fully costs more.", "Table 6"),
        ],
        profile="mini",
        comparable=False,
        command="dit-bench ablate dit/table6 --profile mini",
    )


@pytest.fixture
def comparable_spec(spec: TableSpec) -> TableSpec:
    return dataclasses.replace(spec, comparable=True, profile="paper")


@pytest.fixture
def make_run() -> Callable[..., RunSummary]:
    def make(row_id: str, seed: int, top1: float, gmacs: float = 0.0095, **metrics: float) -> RunSummary:
        figures = {"top1_percent": top1, "gmacs_mean": gmacs, "gmacs_sd": 0.0004, "base_gmacs": 0.01} | metrics
        return RunSummary(row_id, seed, f"dit_mini-{row_id}-ab12cd34ef-seed{seed}", figures, {"sampled_gmacs": 0.0096})

    return make


@pytest.fixture
def runs(make_run: Callable[..., RunSummary]) -> list[RunSummary]:
    """Static 82, 83, 84; dynamic 85, 85.5, 87 (differences 3, 2.5, 3); fully has no run."""
    static = [make_run("static", seed, top1) for seed, top1 in enumerate((82.0, 83.0, 84.0))]
    return static + [make_run("dynamic", seed, top1) for seed, top1 in enumerate((85.0, 85.5, 87.0))]
