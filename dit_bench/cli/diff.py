"""`dit-bench diff`: in what two runs differ, down to single images."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from dit_bench.cli.console import print_json, print_table, say
from dit_bench.cli.options import debug_option, example, json_option, results_option

# Repeated from dit_bench.runs.compare, which takes too long to import for --help; a test compares them.
SECTION_CHOICES = ("settings", "seed", "start", "data", "code", "packages", "weights", "metrics", "images")
DIFFERENT = 1


def complete_run(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs in the results folder; files when a path is being typed."""
    from dit_bench.runs.read import run_folders

    names = [folder.name for folder in run_folders(context.params.get("results") or Path("runs"))]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)] or [
        CompletionItem(incomplete, type="file")
    ]


@click.command(
    "diff", epilog=example("dit-bench diff dit_mini-dynamic-9db25a0128-seed0 dit_mini-dynamic-9db25a0128-seed1")
)
@click.argument("first", metavar="RUN", shell_complete=complete_run)
@click.argument("second", metavar="RUN", shell_complete=complete_run)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    type=click.Choice(SECTION_CHOICES),
    help="Show differences of this kind, but let them not decide; repeatable.",
)
@click.option(
    "--images", "most_images", type=click.IntRange(min=0), default=10, show_default=True, help="Images that are listed."
)
@results_option
@json_option
@debug_option
def command(first: str, second: str, ignored: tuple[str, ...], most_images: int, results: Path, as_json: bool) -> int:
    """Compare two runs A and B: settings, seed, code, packages, machine, data, metrics and every image.

    RUN is a run's name, the beginning of its name or hash, or its folder. Times and the machine are shown in brackets
    and never make runs different, nor does what one of the two records does not know; figures count as equal to
    twelve digits.

    Exit codes: 0 if nothing else differs, 1 if something does; 2 and above: the comparison failed.
    """
    from dit_bench.report.diff_view import (
        CLASS_HEADINGS,
        DIFF_HEADINGS,
        class_lines,
        diff_document,
        diff_lines,
        differing,
        listed_images,
        verdict_line,
    )
    from dit_bench.runs.compare import compare_runs
    from dit_bench.runs.find import find_run

    diff = compare_runs(find_run(first, results), find_run(second, results))
    if as_json:
        print_json(diff_document(diff, ignored, most_images))
    else:
        print_table(f"A: {diff.a.path.name}, B: {diff.b.path.name}", DIFF_HEADINGS, diff_lines(diff))
        if classes := class_lines(diff):
            print_table("Classes that differ", CLASS_HEADINGS, classes)
        for title, headings, lines in listed_images(diff, most_images):
            print_table(title, headings, lines)
        for note in diff.notes:
            say(f"note: {note}")
        say(verdict_line(diff, ignored))
    return DIFFERENT if differing(diff, ignored) else 0
