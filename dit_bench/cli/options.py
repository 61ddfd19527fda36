"""Arguments and options that several verbs share, and the shell completion of recipe and row names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from dit_bench.recipes.resolve import ResolvedRow

Body = TypeVar("Body", bound=Callable[..., Any])
# Repeated from dit_bench.recipes.schema, which takes too long to import for --help; a test compares them.
PROFILE_CHOICES = ("smoke", "mini", "paper")


def complete_recipe(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Short names of recipes; files when a path is being typed."""
    from dit_bench.recipes.names import recipe_names

    names = [name for name in recipe_names() if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def complete_row(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Rows of the recipe that was already typed."""
    from dit_bench.errors import BenchError
    from dit_bench.recipes.load import load_recipe

    # After an option without its value click leaves the arguments unassigned.
    typed = [context.params.get("recipe"), *(context.params.get("recipe_and_overrides") or ()), *context.args]
    for name in typed:
        try:
            rows = load_recipe(name or "").recipe.rows
        except BenchError:
            continue
        return [CompletionItem(row.id, help=row.label) for row in rows if row.id.startswith(incomplete)]
    return []


def complete_profile(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of profiles."""
    return [CompletionItem(name) for name in PROFILE_CHOICES if name.startswith(incomplete)]


recipe_argument = click.argument("recipe", metavar="RECIPE", shell_complete=complete_recipe)
overrides_argument = click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
row_option = click.option(
    "--row", "row_ids", multiple=True, metavar="ROW", shell_complete=complete_row, help="Only this row; repeatable."
)
PROFILE_METAVAR = f"[{'|'.join(PROFILE_CHOICES)}]"
profile_option = click.option(
    "--profile",
    default="mini",
    show_default=True,
    metavar=PROFILE_METAVAR,
    shell_complete=complete_profile,
    help="How big a run is.",
)
seed_option = click.option(
    "--seed", "seeds", multiple=True, type=click.IntRange(min=0), help="Seed instead of the profile's; repeatable."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
results_option = click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    metavar="DIR",
    help="Folder of the runs.",
)


def table_files_option(text: str) -> Callable[[Any], Any]:
    """--out, repeatable: the verb receives `files`. `text` says what is written, and in which formats."""
    return click.option(
        "--out", "files", type=click.Path(dir_okay=False, path_type=Path), multiple=True, metavar="FILE", help=text
    )


force_option = click.option("--force", is_flag=True, help="Run again what is finished; nothing is overwritten.")


# Read by `dit_bench.cli.app.main`, which sees the arguments before any verb does.
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of a defect.")


def selection(body: Body) -> Body:
    """Add RECIPE, KEY=VALUE, --row, --profile and --seed; the verb receives the resolved `rows`.

    Everything is resolved, and so every misspelling refused, before the verb's body imports torch.
    """

    @functools.wraps(body)
    def with_rows(
        recipe: str,
        overrides: tuple[str, ...],
        row_ids: tuple[str, ...],
        profile: str,
        seeds: tuple[int, ...],
        **rest: Any,
    ) -> Any:
        return body(rows=resolved_rows(recipe, row_ids, profile, overrides, seeds), **rest)

    return _decorated(with_rows, recipe_argument, overrides_argument, row_option, profile_option, seed_option)


def resolved_rows(
    recipe: str, row_ids: tuple[str, ...], profile: str, overrides: tuple[str, ...], seeds: tuple[int, ...]
) -> list[ResolvedRow]:
    """The rows of a recipe that the command line names, all of them when it names none."""
    from dit_bench.recipes.load import load_recipe
    from dit_bench.recipes.resolve import resolve_rows

    return resolve_rows(load_recipe(recipe), row_ids, profile, overrides, seeds)


_positive = click.IntRange(min=1)
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
threads_option = click.option("--threads", type=_positive, help="CPU threads; torch's choice by default.")
data_dir_option = click.option(
    "--data-dir", metavar="DIR", help="Cache of the embedded scenes; the user's cache by default."
)


def runtime_options(body: Body) -> Body:
    """Add --device, --threads, --workers, --eval-batch-size and --data-dir; the verb receives `runtime`."""

    @functools.wraps(body)
    def with_runtime(
        device: str, threads: int | None, workers: int, eval_batch_size: int, data_dir: str | None, **rest: Any
    ) -> Any:
        from dit_bench.recipes.settings import RuntimeSettings

        runtime = RuntimeSettings(
            device=device, threads=threads, workers=workers, eval_batch_size=eval_batch_size, data_dir=data_dir
        )
        return body(runtime=runtime, **rest)

    return _decorated(
        with_runtime,
        device_option,
        threads_option,
        click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Loader processes."),
        click.option("--eval-batch-size", type=_positive, default=100, show_default=True, help="Images per batch."),
        data_dir_option,
    )


def store_option(body: Body) -> Body:
    """Add --results; the verb receives the run `store` of that folder."""

    @functools.wraps(body)
    def with_store(results: Path, **rest: Any) -> Any:
        from dit_bench.runs.store import RunStore

        return body(store=RunStore(results), **rest)

    return _decorated(with_store, results_option)


def refuse_options(options: dict[str, Any], reason: str, remedy: str = "leave it out") -> None:
    """Raise UsageError for the first option that was given although, for `reason`, it has no meaning here."""
    from dit_bench.errors import UsageError

    for option, given in options.items():
        if given:
            raise UsageError(f"{option}: {reason}", remedy=remedy)


def example(text: str) -> str:
    """The epilog of a verb's help: an example as it is typed."""
    return f"\b\nExample:\n  {text}"


def _decorated(function: Any, *decorators: Callable[[Any], Any]) -> Any:
    # Applied from the last on, so that --help lists them in the order given.
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def training_options(body: Body) -> Body:
    """As `runtime_options`, with --evaluate-every and --accumulation-steps besides; the verb receives `runtime`."""

    @functools.wraps(body)
    def with_evaluation(runtime: Any, evaluate_every: int, accumulation_steps: int, **rest: Any) -> Any:
        training = {"evaluate_every_epochs": evaluate_every, "accumulation_steps": accumulation_steps}
        return body(runtime=runtime.model_copy(update=training), **rest)

    every = click.option(
        "--evaluate-every",
        type=click.IntRange(min=0),
        default=0,
        metavar="EPOCHS",
        help="Also evaluate after every so many epochs, for curves; the result stays the same.",
    )
    portions = click.option(
        "--accumulation-steps",
        type=_positive,
        default=1,
        show_default=True,
        help="Compute every training batch in so many portions, to save memory; the result stays the same.",
    )
    return runtime_options(_decorated(with_evaluation, every, portions))
