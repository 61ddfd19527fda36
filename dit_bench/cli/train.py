"""`dit-bench train`: train and evaluate rows of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dit_bench.cli.console import print_json, print_table
from dit_bench.cli.dry_run import dry_run_options, show_dry_run
from dit_bench.cli.options import (
    debug_option,
    example,
    force_option,
    json_option,
    refuse_options,
    selection,
    store_option,
    training_options,
)
from dit_bench.cli.progress import reporting

if TYPE_CHECKING:
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore


@click.command("train", epilog=example("dit-bench train dit/table6 --row dynamic --profile smoke optimiser.lr=1e-3"))
@selection
@training_options
@dry_run_options
@store_option
@force_option
@json_option
@debug_option
def command(
    rows: list[ResolvedRow],
    dry_run: bool,
    throughput: float | None,
    runtime: RuntimeSettings,
    store: RunStore,
    force: bool,
    as_json: bool,
) -> None:
    """Train the rows of RECIPE, evaluate them and keep the runs; a finished row is not run again.

    Stop with Ctrl-C at any time: the same command goes on from there.
    """
    if dry_run:
        show_dry_run(rows, store, runtime, force=force, throughput=throughput, as_json=as_json)
        return
    refuse_options({"--throughput": throughput}, "means something only with --dry-run")
    from dit_bench.engine.jobs import JobContext, run_all
    from dit_bench.recipes.metrics import MAIN_METRICS
    from dit_bench.recipes.resolve import planned_runs
    from dit_bench.runs.read import run_summary

    with reporting() as reporter:
        runs = run_all(planned_runs(rows), JobContext(store, runtime, reporter, force))
    if as_json:
        print_json([{"path": str(run.path), **run.record.model_dump(mode="json")} for run in runs])
        return
    metric = MAIN_METRICS[rows[0].settings.task]
    headings = ("run", "seed", metric, "gmacs_mean")
    shown = [run_summary(run) for run in runs]
    cells = [[s["run"], str(s["seed"]), f"{s[metric]:.2f}", f"{s['gmacs_mean']:.5g}"] for s in shown]
    print_table("Runs", headings, cells)
