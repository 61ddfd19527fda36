"""`dit-bench check`: finished runs, counts and speed against committed baselines."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dit_bench.cli.console import out_console, print_json, print_table, say
from dit_bench.cli.options import (
    PROFILE_METAVAR,
    complete_profile,
    complete_row,
    debug_option,
    example,
    json_option,
    refuse_options,
    results_option,
)
from dit_bench.errors import RegressionError, UsageError

if TYPE_CHECKING:
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.report.check_result import CheckedBaseline
    from dit_bench.runs.baseline import CountedRow

EXAMPLES = """dit-bench check --results runs --junit check.xml --markdown check.md
  dit-bench check --update dit/table6 --profile smoke --reason "the first baseline"
  dit-bench check --update dit/table1 --counted --reason "patch embeddings counted once"
  dit-bench check --update speed.json --reason "new machine"        # what dit-bench bench --out speed.json wrote"""
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"

_file = click.Path(dir_okay=False, path_type=Path)


@click.command("check", epilog=example(EXAMPLES))
@click.argument("names", metavar="[BASELINE.json]...", nargs=-1)
@results_option
@click.option(
    "--bench",
    "bench_files",
    type=_file,
    multiple=True,
    metavar="FILE",
    help="A measurement of bench (.json); repeatable.",
)
@click.option("--junit", type=_file, metavar="FILE", help="Also write JUnit XML: a test case per row and metric.")
@click.option("--markdown", type=_file, metavar="FILE", help="Also write the outcome as Markdown, for a pull request.")
@click.option("--all", "everything", is_flag=True, help="Show all figures, also the many that hold.")
@click.option("--strict", is_flag=True, help="Fail for all that does not simply hold: better, undecided, new, …")
@click.option("--update", is_flag=True, help="Write or renew a baseline: of RECIPE, or of a measurement of bench.")
@click.option("--reason", metavar="TEXT", help="With --update: why the figures may change; kept in the file.")
@click.option("--counted", is_flag=True, help="With --update: of parameters and MACs, which need no run.")
@click.option(
    "--profile",
    metavar=PROFILE_METAVAR,
    shell_complete=complete_profile,
    help="With --update: how big a run is.  [default: mini; paper with --counted]",
)
@click.option(
    "--row", "row_ids", multiple=True, metavar="ROW", shell_complete=complete_row, help="With --update: only this row."
)
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(min=0), help="With --update: only this seed.")
@click.option(
    "--file", "target", type=_file, metavar="FILE", help="With --update: instead of baselines/RECIPE-PROFILE.json."
)
@json_option
@debug_option
def command(
    names: tuple[str, ...],
    results: Path,
    bench_files: tuple[Path, ...],
    junit: Path | None,
    markdown: Path | None,
    everything: bool,
    strict: bool,
    update: bool,
    reason: str | None,
    counted: bool,
    profile: str | None,
    row_ids: tuple[str, ...],
    seeds: tuple[int, ...],
    target: Path | None,
    as_json: bool,
) -> None:
    """Compare what is here now with committed baselines (baselines/*.json); exit code 1 if a figure drifted.

    Finished runs in the results folder are compared figure by figure, within the tolerances of the recipe's section
    `check:`; parameters and MACs are counted anew; measurements of dit-bench bench are given with --bench. What is
    missing fails. With --update a baseline is written: dit-bench check --update RECIPE [KEY=VALUE]... --reason TEXT.
    """
    of_update = {"--reason": reason, "--counted": counted, "--profile": profile, "--row": row_ids, "--seed": seeds}
    of_update["--file"] = target
    of_check = {
        "--bench": bench_files,
        "--junit": junit,
        "--markdown": markdown,
        "--all": everything,
        "--strict": strict,
    }
    if update:
        from dit_bench.cli.check_update import update_baseline

        refuse_options(of_check, "has no meaning with --update")
        if not (reason or "").strip():
            raise UsageError("--update needs --reason TEXT", remedy="say why the figures may change; the file keeps it")
        assert reason is not None
        update_baseline(names, results, reason, counted, profile, row_ids, seeds, target, as_json)
        return
    refuse_options(of_update, "has a meaning only with --update")
    _check_target(junit, ".xml", "dit-bench check")
    _check_target(markdown, ".md", "dit-bench check")
    begin = time.perf_counter()
    checked = _checked(names, results, bench_files)
    _write(checked, junit, markdown, everything, strict, time.perf_counter() - begin)
    _show(checked, everything, strict, as_json)
    failed = [(baseline, line) for baseline in checked for line in baseline.failed(strict)]
    if failed:
        from dit_bench.report.check_result import summary

        baseline, line = failed[0]
        first = f"{baseline.file}: {line.row}, {line.metric}: {line.verdict}"
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        remedy = 'if it is meant: dit-bench check --update … --reason "why"'
        raise RegressionError(f"{summary(checked, strict)}: {first}{more}", remedy=remedy)


def _checked(names: Sequence[str], results: Path, bench_files: Sequence[Path]) -> list[CheckedBaseline]:
    """Every baseline compared. All files are read, and refused, before the counting starts."""
    from dit_bench.recipes.names import names_recipe
    from dit_bench.report.check_all import check_baselines
    from dit_bench.runs.baseline_files import find_baselines, load_baseline, load_measurement
    from dit_bench.runs.store import RunStore

    for name in names:
        if not name.endswith(".json"):
            kind = "a recipe" if names_recipe(name) else "no baseline"
            raise UsageError(f"{name}: {kind}; baselines are .json files", remedy="to write one, add --update")
    paths = [Path(name) for name in dict.fromkeys(names)] or find_baselines()
    baselines = {path.as_posix(): load_baseline(path) for path in paths}
    measurements = [load_measurement(path) for path in bench_files]

    def count(recipe: str, rows: Sequence[ResolvedRow]) -> dict[str, CountedRow]:
        from dit_bench.engine.count_anew import counted_rows

        say(f"counting {recipe}")
        return counted_rows(rows)

    return check_baselines(baselines, RunStore(results), measurements, count)


def _write(
    checked: list[CheckedBaseline],
    junit: Path | None,
    markdown: Path | None,
    everything: bool,
    strict: bool,
    seconds: float,
) -> None:
    from dit_bench.report.junit import junit_xml
    from dit_bench.report.render_check import STEP_SUMMARY_BYTES, markdown_check
    from dit_bench.runs.atomic import write_bytes, write_text

    if junit is not None:
        write_bytes(junit, junit_xml(checked, strict=strict, seconds=seconds))
        say(f"wrote {junit}")
    if markdown is not None:
        write_text(markdown, markdown_check(checked, everything=everything, strict=strict))
        say(f"wrote {markdown}")
    named = os.environ.get(STEP_SUMMARY)
    if not named:
        return
    try:
        with Path(named).open("ab") as handle:
            room = STEP_SUMMARY_BYTES - handle.tell()
            handle.write(markdown_check(checked, everything=everything, strict=strict, most_bytes=room).encode())
    except OSError as error:
        # The verdict matters more than where it is shown.
        say(f"{STEP_SUMMARY}: {named}: cannot be written: {error.strerror}")


def _show(checked: list[CheckedBaseline], everything: bool, strict: bool, as_json: bool) -> None:
    from dit_bench.report.check_result import summary
    from dit_bench.report.render_check import HEADINGS, check_cells, json_check, notes_of, rich_check, shown_lines

    if as_json:
        print_json(json_check(checked, strict))
        return
    console = out_console()
    if console.is_terminal:
        console.print(rich_check(checked, everything=everything, strict=strict))
        return
    cells = [(base.file, *check_cells(line)) for base in checked for line in shown_lines(base, everything)]
    print_table("check", ("file", *HEADINGS), cells)
    for baseline in checked:
        for note in notes_of(baseline, everything):
            say(note)
    if not any(baseline.failed(strict) for baseline in checked):
        say(summary(checked, strict))


def _check_target(path: Path | None, suffix: str, mark: str) -> None:
    """Refuse a file that could not be written, or that holds something else than an earlier outcome."""
    from dit_bench.report.files import check_target

    if path is None:
        return
    if not path.parent.is_dir():
        raise UsageError(f"{path}: no folder {path.parent}", remedy="make it, or choose another path")
    ours = path.is_file() and mark.encode() in path.read_bytes()[:200]
    check_target(path, (suffix,), force=ours)
