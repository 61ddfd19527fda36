"""Every baseline of a check, compared with what is here now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dit_bench.errors import BenchError
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.names import names_recipe
from dit_bench.recipes.resolve import ResolvedRow
from dit_bench.recipes.row_tolerances import speed_tolerance
from dit_bench.recipes.tolerances import SpeedTolerance
from dit_bench.report.check_counts import check_counts
from dit_bench.report.check_inputs import current_row, rows_of_runs
from dit_bench.report.check_result import CheckedBaseline, CheckLine
from dit_bench.report.check_runs import check_row, count_tests
from dit_bench.report.check_speed import check_speed
from dit_bench.runs.baseline import Baseline, CountedRow, CountsBaseline, RunsBaseline, SpeedBaseline
from dit_bench.runs.baseline_files import Measurement
from dit_bench.runs.store import RunStore

Count = Callable[[str, Sequence[ResolvedRow]], Mapping[str, CountedRow]]
"""(name of the recipe, its rows) → parameters and MACs by row, counted from the code as it is now."""


def check_baselines(
    baselines: Mapping[str, Baseline], store: RunStore, measurements: Sequence[Measurement], count: Count
) -> list[CheckedBaseline]:
    """Compare all baselines, given by file; means of all of them are judged as one family of comparisons."""
    of_runs = {
        file: rows_of_runs(baseline, store)
        for file, baseline in baselines.items()
        if isinstance(baseline, RunsBaseline)
    }
    family = sum(count_tests(*pair) for pairs in of_runs.values() for pair in pairs)
    checked = []
    for file, baseline in baselines.items():
        if isinstance(baseline, RunsBaseline):
            title = f"{baseline.recipe}, profile {baseline.profile}: runs in {store.root}"
            lines = [line for before, found in of_runs[file] for line in check_row(before, found, family)]
        elif isinstance(baseline, CountsBaseline):
            title = f"{baseline.recipe}, profile {baseline.profile}: parameters and MACs"
            lines = _counted(baseline, count)
        else:
            title = f"Speed, {baseline.machine.shown}"
            lines = check_speed(baseline, measurements, _tolerances(baseline))
        checked.append(CheckedBaseline(file, title, tuple(lines)))
    return checked


def _counted(baseline: CountsBaseline, count: Count) -> list[CheckLine]:
    loaded, rows, refusals = load_recipe(baseline.recipe), [], {}
    for name in baseline.rows:
        row, refusal = current_row(loaded, name, baseline.profile, baseline.overrides)
        if row is None:
            refusals[name] = refusal
        else:
            rows.append(row)
    return check_counts(baseline.rows, count(baseline.recipe, rows) if rows else {}, refusals)


def _tolerances(baseline: SpeedBaseline) -> Callable[[str], SpeedTolerance]:
    """Rows of a recipe are timed under the name `RECIPE ROW seed N`; other names are those of models."""

    def tolerance_of(name: str) -> SpeedTolerance:
        words = name.split(" ")
        if len(words) < 2 or not names_recipe(words[0]):
            return baseline.tolerance
        try:
            return speed_tolerance(load_recipe(words[0]), words[1]) or baseline.tolerance
        except (BenchError, StopIteration):  # a recipe or row that is no longer there
            return baseline.tolerance

    return tolerance_of
