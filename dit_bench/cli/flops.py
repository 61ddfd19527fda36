"""`dit-bench flops`: multiply-accumulates of rows, with and without trained weights."""

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


@click.command("flops", epilog=example("dit-bench flops dit/table6 --profile paper --image-size 224 --image-size 384"))
@selection
@click.option(
    "--image-size",
    "image_sizes_px",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="PIXELS",
    help="Side of the input instead of the recipe's; repeatable.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights (safetensors) whose routes are counted over the data set.",
)
@runtime_options
@store_option
@json_option
@debug_option
def command(
    rows: list[ResolvedRow],
    image_sizes_px: tuple[int, ...],
    checkpoint: Path | None,
    runtime: RuntimeSettings,
    store: RunStore,
    as_json: bool,
) -> None:
    """Count multiply-accumulates (GMACs) of RECIPE's rows.

    Without trained weights: the paths that need no data (PVTv2's diagonal, fully connected, cheapest). With them: the
    mean and spread over the images of the data set.
    """
    from dit_bench.engine.jobs import count_rows

    results = count_rows(rows, runtime=runtime, store=store, image_sizes_px=image_sizes_px, checkpoint=checkpoint)
    if as_json:
        print_json(results)
        return
    for result in results:
        print_table(result["title"], ("path", "GMACs"), [(key, str(value)) for key, value in result["gmacs"].items()])
