"""`dit-bench plot`: Figures 3 and 4 of the DiT paper, Figures 2, 5 and 6 of the PVT paper, and their kind of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from dit_bench.cli.console import print_json, say
from dit_bench.cli.options import (
    PROFILE_METAVAR,
    complete_profile,
    complete_recipe,
    debug_option,
    example,
    json_option,
    resolved_rows,
    row_option,
    runtime_options,
    seed_option,
    store_option,
)
from dit_bench.cli.plot_dense import detections_figure, pruning_figure, segments_figure
from dit_bench.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore

# What a figure is drawn from when no recipe is named.
DEFAULT_RECIPES = {
    "routing": "dit/fig3",
    "skips": "dit/fig4",
    "tradeoff": "dit/table6",
    "curves": "pvt/fig5",
    "growth": "pvt/fig6",
    "detections": "dit/table3",
    "segments": "dit/table5",
    "pruning": "dtop/fig4",
}
# Nothing is trained for these, and their models are the published ones.
COUNTED_FIGURES = ("growth",)
# What sets the size of a picture there.
RESIZED_BY = {"detections": "detector", "segments": "segmenter", "pruning": "segmenter"}


def complete_figure(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of figures, and recipes."""
    kinds = [CompletionItem(kind) for kind in DEFAULT_RECIPES if kind.startswith(incomplete)]
    return kinds or complete_recipe(context, parameter, incomplete)


@click.command("plot", epilog=example("dit-bench plot routing --image photo.jpg --out routing.png"))
@click.argument("figure", metavar="FIGURE", shell_complete=complete_figure)
@click.argument("recipe_and_overrides", metavar="[RECIPE] [KEY=VALUE]...", nargs=-1, shell_complete=complete_recipe)
@row_option
@click.option(
    "--profile",
    metavar=PROFILE_METAVAR,
    shell_complete=complete_profile,
    help="How big a run is.  [default: mini; paper for growth, and where there is no other]",
)
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
@click.option("--min-score", type=click.FloatRange(0, 1), help="Lowest score of the detections that are drawn.")
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
    profile: str | None,
    seeds: tuple[int, ...],
    images: tuple[Path, ...],
    short_side_px: int | None,
    min_score: float | None,
    count: int,
    out: Path | None,
    force: bool,
    runtime: RuntimeSettings,
    store: RunStore,
    as_json: bool,
) -> None:
    """Draw FIGURE from finished runs, or, for growth, from counting alone.

    \b
    routing     tokens that were skipped, stage by stage, on pictures (DiT Figure 3)
    skips       how often tokens are skipped, per scale and stage (DiT Figure 4)
    tradeoff    accuracy against GMACs, or what a recipe names (PVT Figure 2)
    curves      loss and accuracy over the epochs (PVT Figure 5)
    growth      GMACs over the size of the input (PVT Figure 6)
    detections  boxes and masks on pictures, and the tokens that were skipped
    segments    classes of all pixels, and the tokens that were skipped
    pruning     where each token of a plain ViT left (DToP Figures 3 to 5)

    FIGURE may also be a recipe of kind figure, such as dit/fig3. RECIPE names the rows to draw from.
    """  # noqa: D301 - click's mark for lines that stay as they are is no backslash
    kind, recipe, overrides = _figure(figure, recipe_and_overrides)
    profile = profile or _default_profile(kind, recipe)
    rows = resolved_rows(recipe, row_ids, profile, overrides, seeds)
    target = out if out is not None else Path(f"{kind}.png")
    from dit_bench.report.figures.save import FIGURE_SUFFIXES, save_figure
    from dit_bench.report.files import check_target

    check_target(target, FIGURE_SUFFIXES, force=force)
    command_line = f"dit-bench plot {kind} {recipe} --profile {profile}"
    document: dict[str, object] = {"figure": kind}
    if short_side_px is not None and kind in RESIZED_BY:
        raise UsageError(f"--image-size: a {RESIZED_BY[kind]} resizes pictures as in its test", remedy="leave it out")
    if kind == "growth":
        drawn, details = _growth_figure(rows)
        document |= details
    elif kind == "routing":
        drawn = _routing_figure(rows, runtime, store, images, short_side_px, count)
    elif kind == "detections":
        drawn = detections_figure(rows, runtime, store, images, count, min_score)
    elif kind in ("segments", "pruning"):
        drawn = (segments_figure if kind == "segments" else pruning_figure)(rows, runtime, store, images, count)
    elif kind == "skips":
        drawn = _skips_figure(rows, runtime, store)
    else:
        from dit_bench.report.run_figures import curves_figure, tradeoff_figure

        drawn, notes = (curves_figure if kind == "curves" else tradeoff_figure)(rows, store)
        document["notes"] = notes
        for note in notes:
            say(note)
    path = save_figure(drawn, target, title=f"{kind}: {recipe}", command=command_line, force=force)
    if as_json:
        print_json({**document, "path": str(path)})
    else:
        say(f"wrote {path}")


def _growth_figure(rows: list[ResolvedRow]) -> tuple[Figure, dict[str, object]]:
    """Figure 6 of the PVT paper: every row counted at every input size of the recipe."""
    from dit_bench.engine.counting import static_costs
    from dit_bench.report.figures.growth import GrowthCurve, draw_growth, growth_statements

    recipe = rows[0].recipe.recipe
    sides_px = recipe.input_sizes_px
    if sides_px is None:
        raise UsageError(
            f"{rows[0].recipe.name} names no input sizes to count at",
            remedy="use a recipe of figure growth, such as pvt/fig6",
        )
    curves = []
    for row in rows:
        gmacs = [static_costs(row.settings, (side_px, side_px)).macs["matmul"] / 1e9 for side_px in sides_px]
        curves.append(GrowthCurve(row.row.label, tuple(sides_px), tuple(gmacs)))
    statements = growth_statements(curves)
    for statement in statements:
        say(statement)
    series = {
        row.row.id: dict(zip(map(str, sides_px), curve.gmacs, strict=True))
        for row, curve in zip(rows, curves, strict=True)
    }
    figure = draw_growth(curves, title=f"{recipe.title}, matrix products only")
    return figure, {"gmacs": series, "claims": statements}


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


def _default_profile(kind: str, recipe: str) -> str:
    """The small stand-in, where there is one and something is trained."""
    from dit_bench.recipes.load import load_recipe
    from dit_bench.recipes.resolve import profiles_of

    return "mini" if kind not in COUNTED_FIGURES and "mini" in profiles_of(load_recipe(recipe)) else "paper"


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
