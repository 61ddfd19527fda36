"""`dit-bench plot`: Figures 3 and 4 of the DiT paper, and accuracy against MACs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from dit_bench.cli.console import print_json, say
from dit_bench.cli.options import (
    complete_recipe,
    debug_option,
    example,
    json_option,
    profile_option,
    resolved_rows,
    row_option,
    runtime_options,
    seed_option,
    store_option,
)
from dit_bench.errors import UsageError

if TYPE_CHECKING:
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore

# What a figure is drawn from when no recipe is named.
DEFAULT_RECIPES = {"routing": "dit/fig3", "skips": "dit/fig4", "tradeoff": "dit/table6"}


def complete_figure(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of figures, and recipes."""
    kinds = [CompletionItem(kind) for kind in DEFAULT_RECIPES if kind.startswith(incomplete)]
    return kinds or complete_recipe(context, parameter, incomplete)


@click.command("plot", epilog=example("dit-bench plot routing --image photo.jpg --out routing.png"))
@click.argument("figure", metavar="FIGURE", shell_complete=complete_figure)
@click.argument("recipe_and_overrides", metavar="[RECIPE] [KEY=VALUE]...", nargs=-1, shell_complete=complete_recipe)
@row_option
@profile_option
@seed_option
@click.option(
    "--image",
    "images",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Picture whose routing is drawn; repeatable. Without it, pictures of the data set.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the figure goes: .png, .svg or .pdf. [default: FIGURE.png]",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@runtime_options
@store_option
@json_option
@debug_option
def command(
    figure: str,
    recipe_and_overrides: tuple[str, ...],
    row_ids: tuple[str, ...],
    profile: str,
    seeds: tuple[int, ...],
    images: tuple[Path, ...],
    out: Path | None,
    force: bool,
    runtime: RuntimeSettings,
    store: RunStore,
    as_json: bool,
) -> None:
    r"""Draw FIGURE from finished runs.

    \b
    routing   which tokens were skipped, stage by stage, on pictures (Figure 3 of the DiT paper)
    skips     how often tokens are skipped per scale and stage over a data set (Figure 4)
    tradeoff  accuracy against GMACs of finished runs

    FIGURE may also be a recipe of kind figure, such as dit/fig3. RECIPE names the rows to draw from.
    """
    kind, recipe, overrides = _figure(figure, recipe_and_overrides)
    rows = resolved_rows(recipe, row_ids, profile, overrides, seeds)
    target = out if out is not None else Path(f"{kind}.png")
    from dit_bench.engine.jobs import plot_rows

    path = plot_rows(kind, rows, runtime=runtime, store=store, images=images, out=target, force=force)
    if as_json:
        print_json({"figure": kind, "path": str(path)})
    else:
        say(f"wrote {path}")


def _figure(figure: str, rest: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]]:
    """Kind of figure, recipe and overrides of a command line."""
    named = [rest[0]] if rest and "=" not in rest[0] else []
    overrides = rest[len(named) :]
    if figure in DEFAULT_RECIPES:
        return figure, (named or [DEFAULT_RECIPES[figure]])[0], overrides
    from dit_bench.recipes.load import load_recipe
    from dit_bench.recipes.names import recipe_names
    from dit_bench.recipes.suggest import did_you_mean

    if figure not in recipe_names() and not figure.endswith((".yaml", ".yml")):
        remedy = did_you_mean(figure, [*DEFAULT_RECIPES, *recipe_names()])
        raise UsageError(f"unknown figure '{figure}'", remedy=remedy)
    kind = load_recipe(figure).recipe.figure
    if kind is None:
        raise UsageError(f"'{figure}' is no recipe of kind figure", remedy=f"write dit-bench plot routing {figure}")
    if named:
        raise UsageError(f"{figure} is a recipe, {named[0]} is one too many", remedy=f"write plot {kind} {named[0]}")
    return kind, figure, overrides
