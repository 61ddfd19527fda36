"""`dit-bench ablate`: a paper's table, printed and ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dit_bench.cli.cluster_options import cluster_options, run_on_cluster
from dit_bench.cli.console import out_console, print_json, say
from dit_bench.cli.dry_run import dry_run_options, show_dry_run
from dit_bench.cli.options import (
    debug_option,
    example,
    force_option,
    json_option,
    refuse_options,
    selection,
    store_option,
    table_files_option,
    training_options,
)
from dit_bench.cli.progress import reporting
from dit_bench.cli.several import is_main

if TYPE_CHECKING:
    from dit_bench.engine.cluster.request import ClusterRequest
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore


@click.command("ablate", epilog=example("dit-bench ablate dit/table6 --profile smoke --out table6.md --out table6.tex"))
@selection
@table_files_option(
    "Also write the table here: .md, .csv, .tex or .json; repeatable. An existing file is replaced with --force."
)
@click.option("--only-finished", is_flag=True, help="Run nothing: build the table from the runs that exist.")
@training_options
@cluster_options
@dry_run_options
@store_option
@force_option
@json_option
@debug_option
def command(
    rows: list[ResolvedRow],
    files: tuple[Path, ...],
    only_finished: bool,
    cluster: ClusterRequest | None,
    dry_run: bool,
    throughput: float | None,
    runtime: RuntimeSettings,
    store: RunStore,
    force: bool,
    as_json: bool,
) -> None:
    """Run every row of RECIPE that is not finished yet, and print the paper's table beside ours.

    In profile paper the table begins with what is counted without data: parameters and MACs, printed and ours.

    Stop with Ctrl-C at any time: the same command goes on from there and ends in the same table.

    With --cluster every run is a job of its own; the table is the same.
    """
    from dit_bench.recipes.resolve import resolve_rows
    from dit_bench.report.files import check_target
    from dit_bench.report.from_runs import on_other_images, summaries, table_spec
    from dit_bench.report.render_json import table_document
    from dit_bench.report.render_rich import render_rich
    from dit_bench.report.save_table import TABLE_RENDERERS, save_table
    from dit_bench.report.table import build_table

    if dry_run:
        refuse_options({"--out": files, "--only-finished": only_finished}, "--dry-run writes nothing and runs nothing")
        show_dry_run(rows, store, runtime, force=force, throughput=throughput, as_json=as_json, cluster=cluster)
        return
    refuse_options({"--throughput": throughput}, "means something only with --dry-run")
    loaded = rows[0].recipe
    for file in files:
        check_target(file, tuple(TABLE_RENDERERS), force=force or only_finished)
    failure = None
    if cluster is not None:
        remedy = "leave it out, and name another folder with --results for new runs"
        refuse_options({"--only-finished": only_finished}, "submits nothing, and --cluster has no meaning with it")
        refuse_options({"--force": force}, "a job that is restarted could not tell new runs from old ones", remedy)
        failure = run_on_cluster(rows, cluster, store, runtime).failure
    elif not only_finished:
        from dit_bench.engine.jobs import JobContext, run_all
        from dit_bench.recipes.resolve import planned_runs

        with reporting() as reporter:
            run_all(planned_runs(rows), JobContext(store, runtime, reporter, force))
    if not is_main():
        return
    spec = table_spec(loaded, rows, f"dit-bench ablate {loaded.name} --profile {rows[0].profile}")
    if spec.comparable and on_other_images(rows, store):
        spec = replace(spec, comparable=False)
    table = build_table(spec, summaries(rows, store))
    if spec.comparable:
        from dit_bench.engine.counting import row_costs
        from dit_bench.report.from_runs import printed_stages
        from dit_bench.report.static_table import with_static

        counts = {row.row.id: row_costs(row) for row in resolve_rows(loaded, [], rows[0].profile)}
        table = with_static(table, spec, printed_stages(loaded), counts)
    for file in files:
        say(f"wrote {save_table(table, file, force=force or only_finished)}")
    if as_json:
        print_json(table_document(table))
    else:
        console = out_console()
        console.print(render_rich(table, console.width))
    if failure is not None:
        raise failure
