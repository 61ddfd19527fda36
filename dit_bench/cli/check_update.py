"""`dit-bench check --update`: writes or renews a baseline, and says what became different."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dit_bench.cli.console import print_json, say
from dit_bench.cli.options import refuse_options
from dit_bench.errors import DataError, UsageError

if TYPE_CHECKING:
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.runs.baseline import Baseline, BaselineRow
    from dit_bench.runs.store import RunStore


def update_baseline(
    names: Sequence[str],
    results: Path,
    reason: str,
    counted: bool,
    profile: str | None,
    row_ids: tuple[str, ...],
    seeds: tuple[int, ...],
    target: Path | None,
    as_json: bool,
) -> None:
    """Write the baseline of a recipe's rows or of a measurement; the file's history grows by one entry."""
    from dit_bench.runs.baseline_files import load_baseline, save_baseline

    if not names:
        raise UsageError("--update needs the name of a RECIPE or the FILE.json of dit-bench bench")
    name, *overrides = names
    given = {
        "--counted": counted,
        "--profile": profile,
        "--row": row_ids,
        "--seed": seeds,
        **dict.fromkeys(overrides, True),
    }
    measured = name.endswith(".json")
    if measured:
        refuse_options(given, f"{name} is a measurement, not a recipe")
        file = target or _default_file(Path(name).stem, "speed")
    else:
        if counted:
            refuse_options({"--seed": seeds}, "counts have no seeds")
        profile = profile or ("paper" if counted else "mini")
        file = target or _default_file(name, "counted" if counted else profile)
    if file.suffix != ".json":
        raise UsageError(f"--file {file}: baselines are .json files")
    old = load_baseline(file) if file.exists() else None
    if measured:
        new = _of_measurement(old, name, reason)
    else:
        assert profile is not None
        new = _of_recipe(old, name, tuple(overrides), profile, row_ids, seeds, reason, counted, results)
    changes = [] if old is None else new.history[-1].changes
    written = new is not old
    if written:
        save_baseline(file, new)
    if as_json:
        print_json({"file": str(file), "written": written, "changes": changes if written else []})
        return
    say(f"wrote {file}" if written else f"{file}: nothing differs, left as it is")
    for line in changes if written else []:
        say(f"  {line}")


def _of_measurement(old: Baseline | None, name: str, reason: str) -> Baseline:
    from dit_bench.runs.baseline_files import load_measurement
    from dit_bench.runs.baseline_update import change, renewed_speed

    return renewed_speed(old, load_measurement(Path(name)), change(reason))


def _of_recipe(
    old: Baseline | None,
    name: str,
    overrides: tuple[str, ...],
    profile: str,
    row_ids: tuple[str, ...],
    seeds: tuple[int, ...],
    reason: str,
    counted: bool,
    results: Path,
) -> Baseline:
    from dit_bench.cli.options import resolved_rows
    from dit_bench.runs.baseline_update import change, renewed_counts, renewed_runs
    from dit_bench.runs.store import RunStore

    rows = resolved_rows(name, row_ids, profile, overrides, seeds)
    recipe, entry = rows[0].recipe, change(reason)
    known = [row.id for row in recipe.recipe.rows_of(profile)]
    if counted:
        from dit_bench.engine.count_anew import counted_rows

        return renewed_counts(old, recipe.name, profile, overrides, counted_rows(rows), known, entry)
    found = _finished(rows, overrides, RunStore(results))
    return renewed_runs(old, recipe.name, profile, overrides, found, known, entry)


def _finished(rows: Sequence[ResolvedRow], overrides: Sequence[str], store: RunStore) -> dict[str, BaselineRow]:
    """The runs of all rows that are ever run; DataError naming the first that is missing."""
    from dit_bench.recipes.resolve import planned_runs
    from dit_bench.report.check_inputs import train_command
    from dit_bench.runs.baseline_runs import baseline_row

    planned_runs(rows)  # refuses rows that are never run
    found = {}
    for row in rows:
        if not row.row.runs:
            continue
        runs = []
        for seed in row.seeds:
            run = store.find(row.settings, seed)
            if run is None:
                reason = f"row '{row.row.id}', seed {seed}: no finished run in {store.root}"
                command = train_command(row, seed, overrides, store.root)
                raise DataError(reason, remedy=f"make it with {command}")
            runs.append(run)
        found[row.row.id] = baseline_row(row.settings, runs)
    return found


def _default_file(name: str, ending: str) -> Path:
    from dit_bench.runs.baseline_files import BASELINES_FOLDER

    stem = Path(name).with_suffix("").as_posix() if name.endswith((".yaml", ".yml")) else name
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", stem).strip("-.")
    return BASELINES_FOLDER / (f"{slug}.json" if slug.endswith(ending) else f"{slug}-{ending}.json")
