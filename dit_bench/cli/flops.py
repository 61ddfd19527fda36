"""`dit-bench flops`: multiply-accumulates of rows, with and without trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dit_bench.cli.console import print_json, print_table
from dit_bench.cli.evaluate import checkpoint_option
from dit_bench.cli.options import debug_option, example, json_option, runtime_options, selection, store_option
from dit_bench.cli.progress import reporting

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
@checkpoint_option
@click.option("--trained", is_flag=True, help="Also count what the finished runs execute over the data set.")
@runtime_options
@store_option
@json_option
@debug_option
def command(
    rows: list[ResolvedRow],
    image_sizes_px: tuple[int, ...],
    checkpoint: Path | None,
    trained: bool,
    runtime: RuntimeSettings,
    store: RunStore,
    as_json: bool,
) -> None:
    """Count multiply-accumulates (GMACs, matrix products only) of RECIPE's rows.

    Always: the paths that need no data (PVTv2's diagonal, fully connected, cheapest). With --trained or --checkpoint:
    mean and spread of what each image of the data set really executed.
    """
    from dit_bench.engine.counting import static_costs
    from dit_bench.report.evaluation import executed_figures, static_figures

    static = [
        (row, static_costs(row.settings, size))
        for row in rows
        for size in (image_sizes_px or (row.settings.data.image_size_px,))
    ]
    measured = []
    if trained or checkpoint is not None:
        from dit_bench.engine.jobs import JobContext, evaluate_weights
        from dit_bench.engine.trained import trained_weights

        with reporting() as reporter:
            context = JobContext(store, runtime, reporter)
            for weights in trained_weights(rows, store, checkpoint):
                split = weights.row.settings.data.eval_split
                evaluation, _ = evaluate_weights(weights.row.settings, weights.path, split, context)
                measured.append((weights, split, evaluation))
    if as_json:
        from dataclasses import asdict

        print_json(
            {
                "convention": "matmul",
                "static": [
                    {"row": row.row.id, "model": row.settings.model.name, **asdict(costs)} for row, costs in static
                ],
                "executed": [
                    {"title": weights.title(on), "metrics": found.metrics, "kept_ratio": found.kept_ratio}
                    for weights, on, found in measured
                ],
            }
        )
        return
    cells = [
        (row.row.id, model, side, path, value)
        for row, costs in static
        for model, side in [(row.settings.model.name, f"{costs.image_size_px}x{costs.image_size_px}")]
        for path, value in static_figures(costs)
    ]
    print_table("Closed form", ("row", "model", "input", "path", "GMACs (matrix products)"), cells)
    for weights, on, found in measured:
        cells = [(weights.name, figure, value) for figure, value in executed_figures(found.metrics, found)]
        print_table(weights.title(on), ("row", "figure", "value"), cells)
