"""`dit-bench ablate`: a paper's table, printed and ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dit_bench.cli.console import out_console, print_json
from dit_bench.cli.options import (
    debug_option,
    example,
    force_option,
    json_option,
    runtime_options,
    selection,
    store_option,
)

if TYPE_CHECKING:
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore


@click.command("ablate", epilog=example("dit-bench ablate dit/table6 --profile smoke --out table6.md --out table6.tex"))
@selection
@click.option(
    "--out",
    "files",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Also write the table here: .md, .csv, .tex or .json; repeatable.",
)
@runtime_options
@store_option
@force_option
@json_option
@debug_option
def command(
    rows: list[ResolvedRow],
    files: tuple[Path, ...],
    runtime: RuntimeSettings,
    store: RunStore,
    force: bool,
    as_json: bool,
) -> None:
    """Run every row of RECIPE that is not finished yet, and print the paper's table beside ours.

    Stop with Ctrl-C at any time: the same command goes on from there and ends in the same table.
    """
    from dit_bench.engine.jobs import ablate_rows

    table = ablate_rows(rows, runtime=runtime, store=store, force=force, files=files)
    if as_json:
        print_json(table)
        return
    out_console().print(table)
