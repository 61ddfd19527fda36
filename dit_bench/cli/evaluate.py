"""`dit-bench eval`: what trained rows reach and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dit_bench.cli.console import print_json, print_table
from dit_bench.cli.options import debug_option, example, json_option, runtime_options, selection, store_option
from dit_bench.cli.progress import reporting

if TYPE_CHECKING:
    from dit_bench.data.loading import Split
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore

checkpoint_option = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights (safetensors) instead of those of the finished run.",
)
split_option = click.option(
    "--split", type=click.Choice(["val", "tune"]), help="Split to evaluate on; the recipe's by default."
)


@click.command("eval", epilog=example("dit-bench eval dit/table6 --row dynamic --profile mini"))
@selection
@checkpoint_option
@split_option
@runtime_options
@store_option
@json_option
@debug_option
def command(
    rows: list[ResolvedRow],
    checkpoint: Path | None,
    split: Split | None,
    runtime: RuntimeSettings,
    store: RunStore,
    as_json: bool,
) -> None:
    """Evaluate trained rows of RECIPE: accuracy, executed GMACs per image, kept ratio per node, parameters, latency."""
    from dit_bench.engine.jobs import JobContext, evaluate_weights
    from dit_bench.engine.trained import trained_weights
    from dit_bench.report.evaluation import evaluation_figures, evaluation_json

    results = []
    with reporting() as reporter:
        context = JobContext(store, runtime, reporter)
        for weights in trained_weights(rows, store, checkpoint):
            evaluated_split = split or weights.row.settings.data.eval_split
            evaluation, latency = evaluate_weights(weights.row.settings, weights.path, evaluated_split, context)
            metrics = evaluation.metrics | latency
            results.append((weights, evaluated_split, metrics, evaluation))
    if as_json:
        print_json([evaluation_json(weights.title(on), metrics, found) for weights, on, metrics, found in results])
        return
    for weights, on, metrics, found in results:
        cells = [(weights.name, figure, value) for figure, value in evaluation_figures(metrics, found)]
        print_table(weights.title(on), ("row", "figure", "value"), cells)
