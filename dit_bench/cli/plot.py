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
    from matplotlib.figure import Figure

    from dit_bench.recipes.resolve import ResolvedRow
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
    "--image-size",
    "short_side_px",
    type=click.IntRange(min=32),
    metavar="PIXELS",
    help="Short side to which your pictures are resized; the data set's by default.",
)
@click.option("--count", type=click.IntRange(min=1), default=4, show_default=True, help="Pictures of the data set.")
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
    short_side_px: int | None,
    count: int,
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
    from dit_bench.report.figures.save import FIGURE_SUFFIXES, save_figure
    from dit_bench.report.files import check_target

    check_target(target, FIGURE_SUFFIXES, force=force)
    command_line = f"dit-bench plot {kind} {recipe} --profile {profile}"
    if kind == "routing":
        drawn = _routing_figure(rows, runtime, store, images, short_side_px, count)
    elif kind == "skips":
        drawn = _skips_figure(rows, runtime, store)
    else:
        from dit_bench.report.run_figures import tradeoff_figure

        drawn = tradeoff_figure(rows, store)
    path = save_figure(drawn, target, title=f"{kind}: {recipe}", command=command_line, force=force)
    if as_json:
        print_json({"figure": kind, "path": str(path)})
    else:
        say(f"wrote {path}")


def _routing_figure(
    rows: list[ResolvedRow],
    runtime: RuntimeSettings,
    store: RunStore,
    pictures: tuple[Path, ...],
    short_side_px: int | None,
    count: int,
) -> Figure:
    """Figure 3 on the user's pictures, or on pictures of the data set."""
    from dit_bench.engine.trained import one_trained_run
    from dit_bench.engine.views import routed_pictures
    from dit_bench.report.figures.routing import RoutingItem, draw_routing

    row, run = one_trained_run(rows, store)
    routed = routed_pictures(run, runtime, pictures, short_side_px or row.settings.data.image_size_px, count)
    return draw_routing([RoutingItem(r.image, r.kept, r.live, r.title, r.gmacs) for r in routed], scales=(0, 1, 2, 3))


def _skips_figure(rows: list[ResolvedRow], runtime: RuntimeSettings, store: RunStore) -> Figure:
    """Figure 4 over the data sets that the finished runs of the rows were evaluated on."""
    from dit_bench.engine.trained import one_trained_run
    from dit_bench.report.figures.skips import draw_skips
    from dit_bench.report.run_figures import run_skip_statistics

    runs = [one_trained_run([row], store) for row in rows]
    return draw_skips([run_skip_statistics(row, run) for row, run in runs])


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
