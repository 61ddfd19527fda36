"""`dit-bench flops`: parameters and multiply-accumulates of a recipe's rows, or of any model by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dit_bench.cli.console import out_console, print_json, print_table, say
from dit_bench.cli.evaluate import checkpoint_option
from dit_bench.cli.image_size import IMAGE_SIZE, Side
from dit_bench.cli.options import (
    PROFILE_METAVAR,
    complete_profile,
    complete_recipe,
    debug_option,
    example,
    json_option,
    overrides_argument,
    refuse_options,
    resolved_rows,
    row_option,
    runtime_options,
    seed_option,
    store_option,
    table_files_option,
)
from dit_bench.errors import UsageError

if TYPE_CHECKING:
    from dit_bench.engine.model_counts import ModelCount
    from dit_bench.engine.scoring import Scored
    from dit_bench.engine.trained import TrainedWeights
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore

EXAMPLES = """dit-bench flops dit/table1 --out table1.md
  dit-bench flops swin_tiny_patch4_window7_224 --audit
  dit-bench flops pvt_v2_b2 --image-size 800x1280 --depth 3"""


@click.command("flops", epilog=example(EXAMPLES))
@click.argument("name", metavar="NAME", shell_complete=complete_recipe)
@overrides_argument
@row_option
@click.option(
    "--profile",
    default="paper",
    show_default=True,
    metavar=PROFILE_METAVAR,
    shell_complete=complete_profile,
    help="Which models of a recipe's rows.",
)
@seed_option
@click.option(
    "--image-size",
    "image_sizes",
    type=IMAGE_SIZE,
    multiple=True,
    metavar="PIXELS|HEIGHTxWIDTH",
    help="Input instead of the recipe's or the model's own; repeatable.",
)
@click.option(
    "--convention",
    type=click.Choice(["matmul", "as-printed"]),
    default="as-printed",
    show_default=True,
    help="Count what is compared with the print as its authors did, or matrix products only.",
)
@click.option("--audit", is_flag=True, help="Set fvcore, ptflops and torch's counter beside our closed form.")
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Levels of the module tree, which is shown for a single model.",
)
@table_files_option(
    "Also write the table (.md, .csv, .tex, .json), or the modules of a single model (.csv, .json); repeatable."
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@checkpoint_option
@click.option("--trained", is_flag=True, help="Also count what the finished runs execute over the data set.")
@runtime_options
@store_option
@json_option
@debug_option
def command(
    name: str,
    overrides: tuple[str, ...],
    row_ids: tuple[str, ...],
    profile: str,
    seeds: tuple[int, ...],
    image_sizes: tuple[Side, ...],
    convention: str,
    audit: bool,
    depth: int,
    files: tuple[Path, ...],
    force: bool,
    checkpoint: Path | None,
    trained: bool,
    runtime: RuntimeSettings,
    store: RunStore,
    as_json: bool,
) -> None:
    """Count parameters and multiply-accumulates (GMACs) of NAME: a recipe's rows, or any model of timm and of ours.

    Neither data nor weights are needed. A recipe gives the paper's table: printed figures, ours, difference, verdict. A
    model gives its cost by convention, by kind of layer and module by module. With --trained or --checkpoint: also what
    each image of the data set really executed.
    """
    from dit_bench.report.files import check_target
    from dit_bench.report.model_costs import MODULE_SUFFIXES
    from dit_bench.report.save_table import TABLE_RENDERERS

    if _is_model(name):
        of_recipes = {"--row": row_ids, "--trained": trained, "--checkpoint": checkpoint}
        of_recipes |= dict.fromkeys(overrides, True)
        refuse_options(of_recipes, f"{name} is a model, not a recipe", "leave it out, or name a recipe")
        for file in files:
            check_target(file, MODULE_SUFFIXES, force=force)
        _count_model(name, image_sizes, convention, audit, depth, files, force, as_json)
        return
    rows = resolved_rows(name, row_ids, profile, overrides, seeds)
    for file in files:
        check_target(file, tuple(TABLE_RENDERERS), force=force)
    if rows[0].settings.task != "classification":
        unsuited = {"--trained": trained, "--checkpoint": checkpoint}
        refuse_options(unsuited, f"task is {rows[0].settings.task}", "use dit-bench eval, which prints MACs per image")
    executed = _executed(rows, checkpoint, runtime, store) if trained or checkpoint is not None else []
    _count_rows(rows, image_sizes, convention, audit, files, force, as_json, executed)


def _is_model(name: str) -> bool:
    """Whether NAME is a model; recipes are recognised before torch is imported."""
    from dit_bench.recipes.names import names_recipe

    if names_recipe(name):
        return False
    from dit_bench.engine.model_counts import check_model_or_recipe

    check_model_or_recipe(name)
    return True


def _count_rows(
    rows: list[ResolvedRow],
    image_sizes: tuple[Side, ...],
    convention: str,
    audit: bool,
    files: tuple[Path, ...],
    force: bool,
    as_json: bool,
    executed: list[tuple[TrainedWeights, Scored]],
) -> None:
    """The paper's table, as far as it can be counted, and what trained weights executed."""
    from dit_bench.engine.counting import row_costs
    from dit_bench.engine.model_counts import audit_row
    from dit_bench.report.from_runs import counted_table
    from dit_bench.report.model_costs import AUDIT_HEADINGS, audit_cells, audit_json
    from dit_bench.report.save_table import save_table

    sizes = image_sizes or (None,)
    counts = [(row, row_costs(row, size)) for size in sizes for row in rows]
    table = counted_table(counts, None if convention == "as-printed" else convention)
    audits = [(row.row.id, audit_row(row, size)) for size in sizes for row in rows] if audit else []
    for file in files:
        say(f"wrote {save_table(table, file, force=force)}")
    if as_json:
        from dit_bench.report.render_json import table_document

        document = table_document(table)
        if audits:
            document["audits"] = [{"row": row_id, "counters": audit_json(lines)} for row_id, lines in audits]
        if executed:
            document["executed"] = [_executed_json(weights, found) for weights, found in executed]
        print_json(document)
        return
    from dit_bench.report.evaluation import executed_figures
    from dit_bench.report.render_rich import render_rich

    console = out_console()
    console.print(render_rich(table, console.width))
    for row_id, lines in audits:
        print_table(f"Counters on {row_id}", AUDIT_HEADINGS, audit_cells(lines))
    for weights, found in executed:
        cells = [(weights.name, figure, value) for figure, value in executed_figures(found.metrics, found.evaluation)]
        print_table(weights.title(found.conditions.split), ("row", "figure", "value"), cells)


def _count_model(
    name: str,
    image_sizes: tuple[Side, ...],
    convention: str,
    audit: bool,
    depth: int,
    files: tuple[Path, ...],
    force: bool,
    as_json: bool,
) -> None:
    """One model at every input size: summary, kinds of layers, module tree, counters."""
    from dit_bench.engine.model_counts import audit_model, count_model
    from dit_bench.report.model_costs import save_modules

    if files and len(image_sizes) > 1:
        raise UsageError(f"--out {files[0]}: {len(image_sizes)} input sizes are given", remedy="write one at a time")
    documents = []
    for size in image_sizes or (None,):
        count = count_model(name, size)
        lines = audit_model(count) if audit else []
        for file in files:
            say(f"wrote {save_modules(count, file, force=force)}")
        if as_json:
            documents.append(_model_json(count, lines, depth))
        else:
            _print_model(count, convention, lines, depth)
    if as_json:
        print_json(documents[0] if len(documents) == 1 else documents)


def _model_json(count: ModelCount, lines: Any, depth: int) -> dict[str, Any]:
    from dit_bench.report.model_costs import audit_json, model_json

    return model_json(count, depth) | ({"counters": audit_json(lines)} if lines else {})


def _print_model(count: ModelCount, convention: str, lines: Any, depth: int) -> None:
    from dit_bench.report.model_costs import (
        AUDIT_HEADINGS,
        audit_cells,
        kind_cells,
        summary_cells,
    )
    from dit_bench.report.module_tree import plain_module_tree, rich_module_tree

    title = f"{count.name} at {count.image_size[0]}x{count.image_size[1]}"
    print_table(title, ("figure", "value", "what it is"), summary_cells(count, convention))
    print_table("By kind of layer", ("kind", "GMACs", "share"), kind_cells(count))
    if depth:
        tree = count.tree(depth)
        console = out_console()
        if console.is_terminal:
            console.print(rich_module_tree(tree, count.name))
        else:
            for line in plain_module_tree(tree, count.name):
                click.echo(line)
    if lines:
        print_table("Counters side by side", AUDIT_HEADINGS, audit_cells(lines))


def _executed(
    rows: list[ResolvedRow], checkpoint: Path | None, runtime: RuntimeSettings, store: RunStore
) -> list[tuple[TrainedWeights, Scored]]:
    """What trained weights execute over the data set."""
    from dit_bench.cli.progress import reporting
    from dit_bench.engine.context import JobContext
    from dit_bench.engine.scoring import score_weights
    from dit_bench.engine.trained import trained_weights

    found = []
    with reporting() as reporter:
        context = JobContext(store, runtime, reporter)
        for weights in trained_weights(rows, store, checkpoint):
            settings = weights.row.settings
            scored = score_weights(settings, weights.path, settings.data.eval_split, context)
            found += [(weights, result) for result in scored]
    return found


def _executed_json(weights: TrainedWeights, found: Scored) -> dict[str, Any]:
    return {
        "title": weights.title(found.conditions.split),
        "metrics": found.metrics,
        "kept_ratio": found.evaluation.kept_ratio,
    }
