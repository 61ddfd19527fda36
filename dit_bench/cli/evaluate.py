"""`dit-bench eval`: what trained rows reach and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dit_bench.cli.console import print_json, print_table, say
from dit_bench.cli.evaluate_dense import score_rows, show_results
from dit_bench.cli.evaluate_detection import shown_detector
from dit_bench.cli.evaluate_segmentation import shown_segmenter
from dit_bench.cli.options import (
    debug_option,
    example,
    json_option,
    refuse_options,
    runtime_options,
    selection,
    store_option,
)
from dit_bench.cli.progress import reporting
from dit_bench.cli.several import is_main

if TYPE_CHECKING:
    from dit_bench.data.loading import Split
    from dit_bench.engine.protocols import ProtocolName
    from dit_bench.engine.scoring import Scored
    from dit_bench.engine.trained import TrainedWeights
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.report.per_class import ClassScore
    from dit_bench.report.printed_accuracy import PrintedComparison
    from dit_bench.runs.store import RunStore

# Repeated from dit_bench.engine.protocols, which imports torch; a test compares them.
PROTOCOL_CHOICES = ("deit", "timm")

checkpoint_option = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights instead of those of the finished run: .safetensors, or a PyTorch checkpoint without code.",
)
split_option = click.option(
    "--split", type=click.Choice(["val", "tune"]), help="Split to evaluate on; the recipe's by default."
)
protocol_option = click.option(
    "--protocol",
    "protocols",
    type=click.Choice(PROTOCOL_CHOICES),
    multiple=True,
    help="Centre crop for image folders instead of the recipe's: 0.875 (deit) or timm's default for the model;"
    " repeatable.",
)
records_option = click.option(
    "--records",
    "records_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write one line per image here: a .csv file with labels, predictions, hits and GMACs.",
)


@click.command(
    "eval",
    epilog=example(
        "dit-bench eval dit/table8 --row neither --profile paper --checkpoint pvt_v2_b2.pth --protocol deit"
        " data.root=imagenet"
    ),
)
@selection
@checkpoint_option
@split_option
@protocol_option
@click.option("--per-class", is_flag=True, help="Also print a table of the classes.")
@records_option
@click.option("--force", is_flag=True, help="Replace the file of --records if it exists.")
@click.option("--lenient", is_flag=True, help="Count images that cannot be read as wrong, instead of stopping.")
@runtime_options
@store_option
@json_option
@debug_option
def command(
    rows: list[ResolvedRow],
    checkpoint: Path | None,
    split: Split | None,
    protocols: tuple[ProtocolName, ...],
    per_class: bool,
    records_file: Path | None,
    force: bool,
    lenient: bool,
    runtime: RuntimeSettings,
    store: RunStore,
    as_json: bool,
) -> None:
    """Evaluate trained rows of RECIPE: accuracy, executed GMACs per image, kept ratio per node, parameters, latency.

    With --checkpoint, weights from anywhere are scored, on ImageNet folders with any part of the 1000 classes.
    """
    from dit_bench.report.files import check_target
    from dit_bench.report.image_csv import IMAGE_CSV_SUFFIXES

    if records_file is not None:
        check_target(records_file, IMAGE_CSV_SUFFIXES, force=force)
    from dit_bench.engine.context import JobContext
    from dit_bench.engine.scoring import score_weights
    from dit_bench.engine.trained import trained_weights

    task = rows[0].settings.task  # a recipe's rows have one task
    if task != "classification":
        only_here = {"--protocol": protocols, "--records": records_file, "--lenient": lenient}
        refuse_options(only_here, f"task is {task}, not classification")
        with reporting() as reporter:
            context = JobContext(store, runtime, reporter)
            shown = shown_detector if task == "detection" else shown_segmenter
            show_results(score_rows(rows, context, checkpoint, split), shown, per_class, as_json)
        return
    results: list[tuple[TrainedWeights, Scored]] = []
    with reporting() as reporter:
        context = JobContext(store, runtime, reporter)
        for weights in trained_weights(rows, store, checkpoint):
            on = split or weights.row.settings.data.eval_split
            chosen = tuple(dict.fromkeys(protocols))
            scored = score_weights(weights.row.settings, weights.path, on, context, chosen, lenient=lenient)
            results += [(weights, result) for result in scored]
    if as_json:
        print_json([_json(weights, result) for weights, result in results])
    for weights, result in [] if as_json else results:
        _print(weights, result, per_class)
    if records_file is not None and is_main():
        _save_records(results, records_file, force)


def _print(weights: TrainedWeights, result: Scored, per_class: bool) -> None:
    from dit_bench.report.evaluation import evaluation_figures, evaluation_title
    from dit_bench.report.per_class import PER_CLASS_HEADINGS, per_class_cells

    conditions = result.conditions
    title = evaluation_title(weights.title(conditions.split), conditions)
    # A pipe shows no titles, so each line says what it belongs to.
    named = {"row": weights.name} | ({"protocol": conditions.protocol} if conditions.protocol else {})
    figures = evaluation_figures(result.metrics, result.evaluation, conditions, _printed(weights, result))
    print_table(title, (*named, "figure", "value"), [(*named.values(), *figure) for figure in figures])
    if per_class:
        cells = [(*named.values(), *cell) for cell in per_class_cells(_class_scores(result))]
        print_table(f"{title}, class by class", (*named, *PER_CLASS_HEADINGS), cells)


def _json(weights: TrainedWeights, result: Scored) -> dict[str, Any]:
    from dit_bench.report.evaluation import evaluation_json, evaluation_title

    title = evaluation_title(weights.title(result.conditions.split), result.conditions)
    printed = _printed(weights, result)
    found = evaluation_json(title, result.metrics, result.evaluation, result.conditions, printed, _class_scores(result))
    return {"row": weights.row.row.id, "seed": weights.seed, "weights": str(weights.path), **found}


def _printed(weights: TrainedWeights, result: Scored) -> PrintedComparison | None:
    """The comparison with the paper; none for finished runs on digit scenes, whose place is the paper's table."""
    from dit_bench.report.printed_accuracy import compare_with_print

    trained_here = weights.seed is not None
    if trained_here and result.conditions.crop_fraction is None:
        return None
    top1_percent = result.metrics["top1_percent"]
    return compare_with_print(weights.row, result.conditions, top1_percent, trained_here=trained_here)


def _class_scores(result: Scored) -> list[ClassScore]:
    from dit_bench.report.per_class import class_scores

    records = result.evaluation.records
    return class_scores(
        records["label"], records["prediction"], records["top5_hit"], result.class_names, result.english_names
    )


def _save_records(results: list[tuple[TrainedWeights, Scored]], file: Path, force: bool) -> None:
    from dit_bench.report.image_csv import ScoredImages, save_image_csv
    from dit_bench.report.per_class import full_name

    images = [
        ScoredImages(
            weights.row.row.id,
            weights.seed,
            result.conditions.protocol,
            result.evaluation.records,
            result.image_names,
            [full_name(*names) for names in zip(result.class_names, result.english_names, strict=True)],
        )
        for weights, result in results
    ]
    say(f"wrote {save_image_csv(images, file, force=force)}")
