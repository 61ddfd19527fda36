"""`dit-bench show`: a recipe fully resolved, all about a run, or what stands behind a cell of a saved table."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from dit_bench.cli.console import print_json, print_table
from dit_bench.cli.options import (
    complete_recipe,
    debug_option,
    example,
    json_option,
    overrides_argument,
    profile_option,
    refuse_options,
    resolved_rows,
    results_option,
    row_option,
    seed_option,
)


def complete_shown(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Recipes and runs; files when a path is being typed."""
    from dit_bench.runs.read import run_folders

    root = context.params.get("results") or Path("runs")
    runs = [CompletionItem(folder.name) for folder in run_folders(root) if folder.name.startswith(incomplete)]
    recipes = complete_recipe(context, parameter, incomplete)
    return runs + [item for item in recipes if item.type != "file" or not runs]


@click.command(
    "show",
    epilog=example(
        "dit-bench show dit/table6 --row dynamic --profile mini optimiser.lr=1e-3\n"
        "  dit-bench show dit_mini-dynamic-9db25a0128-seed0\n"
        "  dit-bench show results/dit/table6-mini.json --cell dynamic/quality"
    ),
)
@click.argument("shown", metavar="RECIPE|RUN|TABLE", shell_complete=complete_shown)
@overrides_argument
@row_option
@profile_option
@seed_option
@click.option("--cell", metavar="ROW/COLUMN", help="Of a saved table: trace this cell.")
@results_option
@json_option
@debug_option
@click.pass_context
def command(
    context: click.Context,
    shown: str,
    overrides: tuple[str, ...],
    row_ids: tuple[str, ...],
    profile: str,
    seeds: tuple[int, ...],
    cell: str | None,
    results: Path,
    as_json: bool,
) -> None:
    """Show where figures come from.

    RECIPE, a short name such as dit/table6 or the path of a YAML file: every setting of its rows with the origin of
    its value, and the figures that the paper prints.

    RUN, a run's name, the beginning of its name or hash, or its folder: settings, figures, provenance, files, whether
    its weights are still those of the record, and what it started from.

    TABLE, a saved table's JSON: its cells; with --cell, how that cell came about and the runs or prints behind it.
    """
    from dit_bench.report.named import what_is_named

    kind = what_is_named(shown, results)
    named_profile = context.get_parameter_source("profile") is not ParameterSource.DEFAULT
    if kind != "recipe":
        what = "a run" if kind == "run" else "a saved table"
        given = {"--row": row_ids, "--profile": named_profile, "--seed": seeds, " ".join(overrides): overrides}
        refuse_options(given, f"{shown} is {what}, and its settings are fixed")
    if kind != "table":
        refuse_options({"--cell": cell}, f"{shown} is not a saved table", "name a table's JSON file")
    if kind == "run":
        _show_run(shown, results, as_json)
    elif kind == "table":
        _show_table(Path(shown), cell, results, as_json)
    else:
        _show_recipe(shown, row_ids, profile, overrides, seeds, as_json)


def _show_recipe(
    name: str,
    row_ids: tuple[str, ...],
    profile: str,
    overrides: tuple[str, ...],
    seeds: tuple[int, ...],
    as_json: bool,
) -> None:
    from dit_bench.recipes.describe import described, described_json

    rows = resolved_rows(name, row_ids, profile, overrides, seeds)
    recipe = rows[0].recipe
    if as_json:
        data = {"recipe": recipe.name, "title": recipe.recipe.title, "profile": rows[0].profile}
        print_json({**data, "rows": [described_json(row) for row in rows]})
        return
    lines = [(row.row.id, *line) for row in rows for line in described(row)]
    print_table(f"{recipe.recipe.title}, profile {rows[0].profile}", ("row", "key", "value", "origin"), lines)


def _show_run(name: str, results: Path, as_json: bool) -> None:
    from dit_bench.errors import DataError
    from dit_bench.report.run_view import RUN_HEADINGS, run_document, run_lines, weights_problem
    from dit_bench.runs.find import find_run

    document = run_document(find_run(name, results))
    if as_json:
        print_json(document)
    else:
        print_table(f"Run {document['run']}", RUN_HEADINGS, run_lines(document))
    if (problem := weights_problem(document)) is not None:
        raise DataError(problem, remedy="its figures are of other weights: run it again with --force")


def _show_table(path: Path, cell: str | None, results: Path, as_json: bool) -> None:
    from dit_bench.report.bench_view import bench_lines
    from dit_bench.report.cell_view import (
        CELL_HEADINGS,
        TABLE_HEADINGS,
        cell_document,
        cell_lines,
        find_cell,
        table_lines,
    )
    from dit_bench.report.saved_table import read_saved

    kind, document = read_saved(path)
    if kind == "bench":
        refuse_options({"--cell": cell}, f"{path} is a benchmark's result, every figure of which has the same origin")
        if as_json:
            print_json(document)
        else:
            print_table(f"Benchmark {path}", CELL_HEADINGS, bench_lines(document))
        return
    if cell is None:
        if as_json:
            print_json(document)
        else:
            print_table(document["title"], TABLE_HEADINGS, table_lines(document))
        return
    traced = {"file": str(path), **cell_document(document, *find_cell(document, cell), results)}
    if as_json:
        print_json(traced)
    else:
        print_table(f"{path}, {traced['row']}/{traced['column']}", CELL_HEADINGS, cell_lines(traced))
