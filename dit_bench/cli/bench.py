"""`dit-bench bench`: latency and throughput of routed networks, beside what their MACs promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from dit_bench.cli.console import out_console, print_json, print_table, say
from dit_bench.cli.image_size import IMAGE_SIZE, Side
from dit_bench.cli.options import (
    PROFILE_METAVAR,
    complete_profile,
    complete_recipe,
    data_dir_option,
    debug_option,
    device_option,
    example,
    json_option,
    overrides_argument,
    refuse_options,
    resolved_rows,
    row_option,
    seed_option,
    store_option,
    table_files_option,
    threads_option,
)
from dit_bench.errors import UsageError

if TYPE_CHECKING:
    from dit_bench.engine.bench_networks import Against, Conditions, Subject
    from dit_bench.engine.bench_networks import Path as NodePath
    from dit_bench.recipes.settings import NumericsSettings, RuntimeSettings
    from dit_bench.report.bench_table import BenchReport
    from dit_bench.runs.store import RunStore

# Repeated from dit_bench.engine.bench_networks and dit_bench.cost.latency, which import torch; a test compares them.
AGAINST_CHOICES = ("pvt", "dense", "masked", "padded")
PATH_CHOICES = ("diagonal", "gated", "fully")
AMP_CHOICES = ("off", "bf16", "fp16")
FEWEST_ROUNDS = 6
DEFAULT_BATCHES = (1, 8)
DEFAULT_KEEPS = (0.25, 0.5, 0.75)
EXAMPLES = """dit-bench bench dit_b2 --batch 8 --keep 0.5 --spread 0.3 --against pvt --against padded --plot speed.png
  dit-bench bench dit/table6 --row dynamic --batch 1 --batch 64 --counting"""

_positive = click.IntRange(min=1)
_share = click.FloatRange(0, 1)


@click.command("bench", epilog=example(EXAMPLES))
@click.argument("name", metavar="NAME", shell_complete=complete_recipe)
@overrides_argument
@row_option
@click.option(
    "--profile", metavar=PROFILE_METAVAR, shell_complete=complete_profile, help="How big a run is.  [default: mini]"
)
@seed_option
@click.option("--batch", "batches", type=_positive, multiple=True, help="Images at once; repeatable.  [default: 1, 8]")
@click.option(
    "--keep",
    "keeps",
    type=_share,
    multiple=True,
    help="Share of tokens that every node of a model keeps; repeatable.  [default: 0.25, 0.5, 0.75]",
)
@click.option("--spread", type=_share, help="Images of a batch keep from keep(1 − spread) to keep(1 + spread).")
@click.option(
    "--path",
    type=click.Choice(PATH_CHOICES),
    help="Nodes of a model: PVTv2's (diagonal, the default), the same with all gates at work, or all.",
)
@click.option("--amp", type=click.Choice(AMP_CHOICES), help="Precision of a model's matrix products.  [default: off]")
@click.option(
    "--image-size",
    "image_sizes",
    type=IMAGE_SIZE,
    multiple=True,
    metavar="PIXELS|HEIGHTxWIDTH",
    help="Input of a model.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=FEWEST_ROUNDS),
    help="Rounds per comparison.  [default: 15, and 7 from batch 9 on]",
)
@click.option(
    "--against",
    type=click.Choice(AGAINST_CHOICES),
    multiple=True,
    help="Baseline: timm's PVTv2 (default), the same network with every token kept, or the same masks by multiplication"
    " or by padding; repeatable.",
)
@click.option("--compile/--no-compile", "compiled", default=False, help="Also time compiled forms; the faster counts.")
@click.option("--counting", is_flag=True, help="Also measure what counting MACs per image costs.")
@click.option("--per-node", is_flag=True, help="Time a model's stages one by one, each against the dense stage.")
@device_option
@threads_option
@data_dir_option
@table_files_option("Also write the table (.md, .csv, .json); repeatable.")
@click.option(
    "--plot", "plot_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw real over ideal."
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@store_option
@json_option
@debug_option
def command(
    name: str,
    overrides: tuple[str, ...],
    row_ids: tuple[str, ...],
    profile: str | None,
    seeds: tuple[int, ...],
    batches: tuple[int, ...],
    keeps: tuple[float, ...],
    spread: float | None,
    path: NodePath | None,
    amp: Literal["off", "bf16", "fp16"] | None,
    image_sizes: tuple[Side, ...],
    rounds: int | None,
    against: tuple[Against, ...],
    compiled: bool,
    counting: bool,
    per_node: bool,
    device: str,
    threads: int | None,
    data_dir: str | None,
    files: tuple[Path, ...],
    plot_file: Path | None,
    force: bool,
    store: RunStore,
    as_json: bool,
) -> None:
    """Time NAME against baselines: a DiT model with keep ratios set by hand, or the finished runs of a recipe.

    All networks are timed in turn, in interleaved rounds of one process. Beside the ideal speed-up (ratio of MACs)
    stand the real one with its 95 % interval, and rho, the share of the promise that is kept. A model has random
    weights and keeps random tokens; a recipe's rows decide by their learned gates on images of their data set.
    """
    from dit_bench.recipes.names import names_recipe
    from dit_bench.recipes.settings import NumericsSettings, RuntimeSettings
    from dit_bench.report.bench_table import BENCH_SUFFIXES
    from dit_bench.report.files import check_target

    numerics = NumericsSettings(amp=amp or "off")
    runtime = RuntimeSettings(device=device, threads=threads, data_dir=data_dir)
    chosen_batches = tuple(dict.fromkeys(batches or DEFAULT_BATCHES))
    for file in files:
        check_target(file, BENCH_SUFFIXES, force=force)
    if plot_file is not None:
        from dit_bench.report.figures.save import FIGURE_SUFFIXES

        check_target(plot_file, FIGURE_SUFFIXES, force=force)
    of_models = {"--keep": keeps, "--spread": spread is not None, "--path": path, "--image-size": image_sizes}
    if names_recipe(name):
        of_models |= {"--per-node": per_node, "--amp": amp}
        refuse_options(of_models, f"{name} is a recipe: its gates decide, on its own images")
        rows = resolved_rows(name, row_ids, profile or "mini", overrides, seeds)
        cases = _recipe_cases(
            rows, store, chosen_batches, bool(seeds), data_dir, _conditions(runtime, compiled, numerics)
        )
    else:
        of_recipes = {"--row": row_ids, "--profile": profile, **dict.fromkeys(overrides, True)}
        _check_model(name, of_recipes, seeds)
        conditions = _conditions(runtime, compiled, numerics, *seeds)
        cases = _model_cases(
            name, path or "diagonal", image_sizes, chosen_batches, keeps or DEFAULT_KEEPS, spread or 0.0, conditions
        )
    chosen = tuple(dict.fromkeys(against)) or AGAINST_CHOICES[:1]
    report = _measured(cases, chosen, rounds, counting, compiled, per_node)
    for file in files:
        say(f"wrote {_save(report, file, force)}")
    if plot_file is not None:
        say(f"wrote {_plot(report, plot_file, force)}")
    _show(report, as_json)


def _conditions(runtime: RuntimeSettings, compiled: bool, numerics: NumericsSettings, seed: int = 0) -> Conditions:
    from dit_bench.engine.bench_networks import Conditions
    from dit_bench.engine.benchmark import check_compiler
    from dit_bench.engine.devices import autocast, prepare

    device = prepare(runtime)
    autocast(device, numerics)  # refuses what the device cannot do
    if compiled:
        check_compiler()
    return Conditions(device, compiled, seed, numerics)


def _recipe_cases(
    rows: Sequence[Any],
    store: RunStore,
    batches: Sequence[int],
    every_seed: bool,
    data_dir: str | None,
    conditions: Conditions,
) -> Iterator[tuple[Subject, Conditions]]:
    from dit_bench.engine.bench_recipes import routed_runs, trained_subjects

    runs = routed_runs(rows, store, every_seed=every_seed)
    return trained_subjects(runs, batches, conditions, None if data_dir is None else Path(data_dir))


def _model_cases(
    name: str,
    path: NodePath,
    image_sizes: Sequence[Side],
    batches: Sequence[int],
    keeps: Sequence[float],
    spread: float,
    conditions: Conditions,
) -> Iterator[tuple[Subject, Conditions]]:
    from dit_bench.engine.bench_networks import controlled_subjects, image_size_of

    sizes = [image_size_of(name, size) for size in image_sizes or (None,)]
    return controlled_subjects(name, path, sizes, batches, list(dict.fromkeys(keeps)), spread, conditions)


def _check_model(name: str, of_recipes: dict[str, Any], seeds: Sequence[int]) -> None:
    """Raise UsageError for what cannot be timed with keep ratios set by hand."""
    from dit_bench.engine.bench_networks import check_routed_model
    from dit_bench.engine.model_counts import check_model_or_recipe

    check_model_or_recipe(name)
    check_routed_model(name)
    refuse_options(of_recipes, f"{name} is a model, not a recipe")
    if len(seeds) > 1:
        raise UsageError(f"--seed: {len(seeds)} seeds are given", remedy="a model is timed with one")


def _measured(
    cases: Iterator[tuple[Subject, Conditions]],
    against: Sequence[Any],
    rounds: int | None,
    counting: bool,
    compiled: bool,
    per_node: bool,
) -> BenchReport:
    from dit_bench.engine.bench_nodes import compare_nodes
    from dit_bench.engine.benchmark import compare, counting_overhead, timing_provenance
    from dit_bench.report.bench_table import BenchReport

    lines, counted, device, precisions = [], [], None, []
    for subject, conditions in cases:
        height, width = subject.image_size
        kept = "" if subject.keep is None else f", kept {subject.keep:g}"
        say(f"timing   {subject.name} at {height}x{width}, batch {subject.batch}{kept}")
        if per_node and subject.masks is not None:
            lines += compare_nodes(subject, subject.masks, conditions, rounds=rounds)
        else:
            lines += compare(subject, against, conditions, rounds=rounds)
        if counting:
            counted.append(counting_overhead(subject, conditions, rounds=rounds))
        device = conditions.device
        precisions.append(conditions.precision)
    assert device is not None
    return BenchReport(lines, counted, timing_provenance(device), compiled, ", ".join(dict.fromkeys(precisions)))


def _save(report: BenchReport, file: Path, force: bool) -> Path:
    from dit_bench.report.bench_table import save_bench

    return save_bench(report, file, force=force)


def _plot(report: BenchReport, file: Path, force: bool) -> Path:
    from dit_bench.report.figures.save import save_figure
    from dit_bench.report.figures.speedup import draw_speed_up, speed_up_points

    title = "; ".join(f"{name} {value}" for name, value in report.conditions if name in ("device", "threads", "torch"))
    command_line = " ".join(report.provenance.argv)
    figure = draw_speed_up(speed_up_points(report.lines), title=title)
    return save_figure(figure, file, title="Real over ideal speed-up", command=command_line, force=force)


def _show(report: BenchReport, as_json: bool) -> None:
    from dit_bench.report import bench_table as tables

    if as_json:
        print_json(tables.bench_json(report))
        return
    for name, value in report.conditions:
        say(f"{name}: {value}")
    if out_console().is_terminal:
        print_table("Speed-up", tables.SPEED_UP_HEADINGS, tables.speed_up_cells(report.lines))
        print_table("Networks", tables.NETWORK_HEADINGS, tables.network_cells(report.lines))
    else:
        print_table("Speed-up", tables.WIDE_HEADINGS, tables.wide_cells(report.lines))
    if report.counting:
        print_table("Cost of counting", tables.COUNTING_HEADINGS, tables.counting_cells(report.counting))
    for note in report.notes:
        say(note)
