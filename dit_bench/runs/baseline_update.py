"""Writing a baseline anew: what is renewed replaces what was there, and the file's history says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypeVar

from dit_bench.errors import UsageError
from dit_bench.recipes.metrics import is_time
from dit_bench.recipes.tolerances import SpeedTolerance
from dit_bench.runs.baseline import (
    Baseline,
    BaselineRow,
    Change,
    CountedRow,
    CountsBaseline,
    RunsBaseline,
    SpeedBaseline,
)
from dit_bench.runs.baseline_files import Measurement, machine_of
from dit_bench.runs.provenance import collect_provenance

MOST_CHANGES = 60
"""Lines that one entry of a history holds."""

OfRecipe = TypeVar("OfRecipe", RunsBaseline, CountsBaseline)
AnyBaseline = TypeVar("AnyBaseline", RunsBaseline, CountsBaseline, SpeedBaseline)


def change(reason: str) -> Change:
    """A new entry of a history: now, on this machine, with this code; UsageError without a reason."""
    words = " ".join(reason.split())
    if not words:
        raise UsageError("--reason: empty", remedy='say why the figures may change, as in --reason "new data"')
    here = collect_provenance(device="cpu", threads=1)
    return Change(
        created_utc=here.created_utc,
        reason=words,
        dit_bench_version=here.dit_bench_version,
        git_commit=here.git_commit,
        git_dirty=here.git_dirty,
        machine=machine_of(here),
        changes=[],
    )


def renewed_runs(
    old: Baseline | None,
    recipe: str,
    profile: str,
    overrides: Sequence[str],
    rows: Mapping[str, BaselineRow],
    known_rows: Sequence[str],
    entry: Change,
) -> RunsBaseline:
    """The baseline `old` with these rows in place of its own; rows that the recipe no longer has are dropped.

    Seeds that were not asked for stay, where the settings are the same. Raises UsageError if `old` is of another
    recipe, profile or kind.
    """
    before = _same_subject(old, RunsBaseline, recipe, profile, overrides)
    merged = {} if before is None else dict(before.rows)
    for name, row in rows.items():
        merged[name] = _with_other_seeds(row, merged.get(name))
    ordered = {name: merged[name] for name in known_rows if name in merged}
    made = RunsBaseline.model_validate(
        {"recipe": recipe, "profile": profile, "overrides": list(overrides), "rows": ordered, "history": [entry]}
    )
    return _with_history(before, made, entry)


def renewed_counts(
    old: Baseline | None,
    recipe: str,
    profile: str,
    overrides: Sequence[str],
    rows: Mapping[str, CountedRow],
    known_rows: Sequence[str],
    entry: Change,
) -> CountsBaseline:
    """As `renewed_runs`, of counts."""
    before = _same_subject(old, CountsBaseline, recipe, profile, overrides)
    merged = ({} if before is None else dict(before.rows)) | dict(rows)
    ordered = {name: merged[name] for name in known_rows if name in merged}
    made = CountsBaseline.model_validate(
        {"recipe": recipe, "profile": profile, "overrides": list(overrides), "rows": ordered, "history": [entry]}
    )
    return _with_history(before, made, entry)


def renewed_speed(old: Baseline | None, found: Measurement, entry: Change) -> SpeedBaseline:
    """A measurement as the baseline of the next ones; the tolerance that stands in the old file stays."""
    if old is not None and not isinstance(old, SpeedBaseline):
        raise UsageError(f"the baseline holds {old.kind}, not speed", remedy="choose another --file")
    made = SpeedBaseline(
        machine=found.machine,
        compile=found.compile,
        precision=found.precision,
        tolerance=SpeedTolerance() if old is None else old.tolerance,
        cases=found.cases(),
        history=[entry],
    )
    return _with_history(old, made, entry)


def differences(old: Baseline, new: Baseline) -> list[str]:
    """What two baselines say differently, one line each; times of runs, which are never the same, are left out."""
    before, after = _figures(old), _figures(new)
    return [
        f"{name}: {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def _same_subject(
    old: Baseline | None, kind: type[OfRecipe], recipe: str, profile: str, overrides: Sequence[str]
) -> OfRecipe | None:
    if old is None:
        return None
    if not isinstance(old, kind):
        raise UsageError(f"the baseline holds {old.kind}, not {kind.model_fields['kind'].default}", remedy=_OTHER_FILE)
    theirs = (old.recipe, old.profile, old.overrides)
    if theirs != (recipe, profile, list(overrides)):
        shown = " ".join([old.recipe, "--profile", old.profile, *old.overrides])
        raise UsageError(f"the baseline is one of {shown}", remedy=_OTHER_FILE)
    return old


_OTHER_FILE = "choose another --file"


def _with_other_seeds(row: BaselineRow, before: BaselineRow | None) -> BaselineRow:
    if before is None or before.settings_hash != row.settings_hash:
        return row
    seeds = {run.seed: run for run in (*before.runs, *row.runs)}
    return row.model_copy(update={"runs": [seeds[seed] for seed in sorted(seeds)]})


def _with_history(before: AnyBaseline | None, made: AnyBaseline, entry: Change) -> AnyBaseline:
    """The new baseline behind the old one's history; the old one itself if nothing differs."""
    if before is None:
        return made
    changes = differences(before, made)
    if not changes:
        return before
    if len(changes) > MOST_CHANGES:
        changes = [*changes[:MOST_CHANGES], f"and {len(changes) - MOST_CHANGES} more"]
    entry = entry.model_copy(update={"changes": changes})
    return made.model_copy(update={"history": [*before.history, entry]})


def _figures(baseline: Baseline) -> dict[str, str]:
    """Everything that a baseline compares, by a name that people understand."""
    figures: dict[str, str] = {}
    if isinstance(baseline, SpeedBaseline):
        figures |= {
            "machine": baseline.machine.shown,
            "compile": str(baseline.compile),
            "precision": baseline.precision,
        }
        for case in baseline.cases:
            figures[f"{case.shown}, time ratio"] = f"{median(case.ratios):.4g}"
            figures[f"{case.shown}, MACs"] = f"{case.macs_per_image:.17g}"
        return figures
    for name, row in baseline.rows.items():
        if isinstance(row, CountedRow):
            figures[f"{name}, input"] = "x".join(map(str, row.image_size_px))
            figures |= {f"{name}, {key}": str(value) for key, value in row.figures.items()}
            figures |= {f"{name}, problem": row.problem} if row.problem else {}
            continue
        figures[f"{name}, settings"] = row.settings_hash
        for run in row.runs:
            seed = f"{name} seed {run.seed}"
            figures[f"{seed}, weights"] = str(run.weights_sha256)[:10]
            figures[f"{seed}, training data"] = str(run.data_manifest_sha256)[:10]
            figures[f"{seed}, num_images"] = str(run.num_images)
            figures |= {f"{seed}, {key}": repr(value) for key, value in run.metrics.items() if not is_time(key)}
            figures |= {f"{seed}, {key}": value for key, value in (run.images.arrays if run.images else {}).items()}
    return figures
