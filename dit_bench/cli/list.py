"""`dit-bench list`: recipes, the runs in a results folder, or what other packages plug in."""

from __future__ import annotations

from pathlib import Path

import click

from dit_bench.cli.console import print_json, print_table, say
from dit_bench.cli.options import debug_option, example, json_option, results_option
from dit_bench.errors import UsageError


@click.command("list", epilog=example("dit-bench list --runs --results runs"))
@click.option("--runs", "show_runs", is_flag=True, help="List runs instead of recipes.")
@click.option("--plugins", "show_plugins", is_flag=True, help="List what other packages plug in, with its origin.")
@results_option
@json_option
@debug_option
def command(show_runs: bool, show_plugins: bool, results: Path, as_json: bool) -> None:
    """List the recipes that come with dit-bench, the runs in a results folder, or other packages' plug-ins.

    Plug-ins are models, gates, data sets and metrics that an installed package offers by entry points of the groups
    dit_bench.models, dit_bench.gates, dit_bench.datasets and dit_bench.metrics. None is imported for the list.
    """
    if show_runs and show_plugins:
        raise UsageError("--runs and --plugins are two lists", remedy="ask for one at a time")
    if show_plugins:
        _list_plugins(as_json)
    elif show_runs:
        _list_runs(results, as_json)
    else:
        _list_recipes(as_json)


def _list_recipes(as_json: bool) -> None:
    from dit_bench.recipes.describe import recipe_summary
    from dit_bench.recipes.load import load_recipe
    from dit_bench.recipes.names import recipe_names

    recipes = [recipe_summary(load_recipe(name)) for name in recipe_names()]
    if as_json:
        print_json(recipes)
        return
    lines = [
        (recipe["name"], recipe["kind"], ", ".join(recipe["rows"]), ", ".join(recipe["profiles"]), recipe["title"])
        for recipe in recipes
    ]
    print_table("Recipes", ("recipe", "kind", "rows", "profiles", "title"), lines)


def _list_plugins(as_json: bool) -> None:
    from dit_bench.plugins import KINDS, plugins

    found = [plugin for kind in KINDS for plugin in plugins(kind)]
    keys = ("group", "name", "package", "version", "target")
    lines = [tuple(str(getattr(plugin, key)) for key in keys) for plugin in found]
    headings = (*keys[:-1], "origin")
    if as_json:
        print_json([dict(zip(headings, line, strict=True)) for line in lines])
        return
    if not found:
        say("no installed package plugs anything in")
    print_table("Plug-ins", headings, lines)


def _list_runs(results: Path, as_json: bool) -> None:
    from dit_bench.recipes.metrics import MAIN_METRICS
    from dit_bench.runs.read import list_runs, run_summary

    listing = list_runs(results)
    summaries = [run_summary(run) for run in listing.finished]
    damaged = [{"path": str(path), "reason": reason} for path, reason in listing.damaged]
    interrupted = [str(path) for path in listing.interrupted]
    if as_json:
        print_json({"finished": summaries, "damaged": damaged, "interrupted": interrupted})
        return
    metrics = [metric for task, metric in MAIN_METRICS.items() if any(run["task"] == task for run in summaries)]
    headings = ("run", "model", "variant", "seed", *metrics, "gmacs_mean", "created_utc")
    lines = [["" if run[key] is None else str(run[key]) for key in headings] for run in summaries]
    print_table(f"Finished runs in {results}", headings, lines)
    for entry in damaged:
        say(f"damaged: {entry['reason']}")
    for path in interrupted:
        say(f"not finished: {path}")
