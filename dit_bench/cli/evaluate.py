"""`dit-bench eval`: what trained rows reach and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dit_bench.cli.console import print_json, print_table
from dit_bench.cli.options import debug_option, example, json_option, runtime_options, selection, store_option

if TYPE_CHECKING:
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore


@click.command("eval", epilog=example("dit-bench eval dit/table6 --row dynamic --profile mini"))
@selection
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights (safetensors) to evaluate instead of those of the finished run.",
)
@runtime_options
@store_option
@json_option
@debug_option
def command(
    rows: list[ResolvedRow], checkpoint: Path | None, runtime: RuntimeSettings, store: RunStore, as_json: bool
) -> None:
    """Evaluate trained rows of RECIPE: accuracy, executed GMACs per image, kept ratio per node, parameters, latency."""
    from dit_bench.engine.jobs import evaluate_rows

    results = evaluate_rows(rows, runtime=runtime, store=store, checkpoint=checkpoint)
    if as_json:
        print_json(results)
        return
    for result in results:
        print_table(
            result["title"], ("figure", "value"), [(key, str(value)) for key, value in result["metrics"].items()]
        )
