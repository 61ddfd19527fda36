"""What a recipe and a results folder hold now of the rows that a baseline speaks of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dit_bench.errors import DataError
from dit_bench.recipes.identity import hash10, run_name
from dit_bench.recipes.load import LoadedRecipe, load_recipe
from dit_bench.recipes.problems import RecipeError, show_value
from dit_bench.recipes.resolve import ResolvedRow, resolve
from dit_bench.recipes.row_tolerances import row_tolerances
from dit_bench.report.check_runs import RowRuns
from dit_bench.runs.baseline import BaselineRow, BaselineRun, RunsBaseline
from dit_bench.runs.baseline_runs import baseline_run, changed_settings
from dit_bench.runs.read import list_runs
from dit_bench.runs.store import RunStore


def rows_of_runs(baseline: RunsBaseline, store: RunStore) -> list[tuple[BaselineRow, RowRuns]]:
    """Each row of a baseline of runs with what there is of it now."""
    loaded = load_recipe(baseline.recipe)
    damaged = {path.name: reason for path, reason in list_runs(store.root).damaged}
    return [(row, _row_runs(loaded, name, row, baseline, store, damaged)) for name, row in baseline.rows.items()]


def current_row(
    loaded: LoadedRecipe, row_id: str, profile: str, overrides: Sequence[str]
) -> tuple[ResolvedRow | None, str]:
    """The row as the recipe has it now, or why it has no such row; overrides that no longer fit are an error."""
    try:
        return resolve(loaded, row_id, profile, overrides), ""
    except RecipeError as error:
        if row_id in loaded.recipe.row_ids and loaded.recipe.row(row_id).belongs_to(profile):
            raise
        return None, f"{error}; renew the baseline if it was renamed or removed"


def _row_runs(
    loaded: LoadedRecipe,
    row_id: str,
    before: BaselineRow,
    baseline: RunsBaseline,
    store: RunStore,
    damaged: Mapping[str, str],
) -> RowRuns:
    row, refusal = current_row(loaded, row_id, baseline.profile, baseline.overrides)
    if row is None:
        return RowRuns(row_id, None, (), {}, {}, {}, refusal)
    found: dict[int, BaselineRun] = {}
    missing: dict[int, str] = {}
    for seed in (run.seed for run in before.runs):
        run, name = store.find(row.settings, seed), run_name(row.settings, seed)
        broken = {folder: reason for folder, reason in damaged.items() if _repeat(folder, name)}
        newest = max(broken, key=lambda folder: _repeat(folder, name), default="")
        try:
            # The store passes over what it cannot read: an older repeat must not stand in for a damaged newer one.
            if newest and (run is None or _repeat(newest, name) > _repeat(run.path.name, name)):
                missing[seed] = broken[newest]
            elif run is not None:
                found[seed] = baseline_run(run)
            else:
                command = train_command(row, seed, baseline.overrides, store.root)
                missing[seed] = f"no finished run in {store.root}: {command}"
        except DataError as error:
            missing[seed] = error.message
    tolerances = row_tolerances(loaded, row_id, baseline.profile, row.settings)
    return RowRuns(row_id, hash10(row.settings), _changes(before, row), tolerances, found, missing)


def train_command(row: ResolvedRow, seed: int, overrides: Sequence[str], results: Path) -> str:
    """The command that makes one run of a row in a results folder."""
    words = ["dit-bench train", row.recipe.name, f"--row {row.row.id}", f"--profile {row.profile}"]
    words += [f"--seed {seed}", *overrides, f"--results {results}"]
    return " ".join(words)


def _repeat(folder: str, name: str) -> int:
    """Which repeat of the run `name` a folder is, from 1; 0 for another run's."""
    numbered = re.fullmatch(rf"{re.escape(name)}(?:-r(\d+))?", folder)
    return int(numbered[1] or 1) if numbered else 0


def _changes(before: BaselineRow, row: ResolvedRow) -> list[str]:
    now, plain = changed_settings(row.settings), "its default"
    lines = [
        f"{key} was {_value(before.settings, key, plain)}, is {_value(now, key, plain)}"
        for key in dict.fromkeys([*before.settings, *now])
        if before.settings.get(key) != now.get(key) or (key in before.settings) != (key in now)
    ]
    return lines or ["a default or the rule of what counts changed"]


def _value(settings: Mapping[str, Any], key: str, otherwise: str) -> str:
    return show_value(settings[key]) if key in settings else otherwise
