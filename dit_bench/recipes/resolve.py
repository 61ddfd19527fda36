"""From a recipe's rows to runs: layers merged, every value with its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dit_bench.recipes.identity import canonical_json
from dit_bench.recipes.load import LoadedRecipe
from dit_bench.recipes.override import COMMAND_LINE, parse_overrides
from dit_bench.recipes.partial import PartialSettings, flat, given, nested
from dit_bench.recipes.problems import KeyPath, RecipeError, leaves, show_value
from dit_bench.recipes.schema import PROFILES, Profile, Row
from dit_bench.recipes.settings import RoutingSettings, RunSettings
from dit_bench.recipes.suggest import did_you_mean

DEFAULT = "default"


@dataclass(frozen=True)
class ResolvedRow:
    """One row under one profile, complete: what to run, how often, and where every value comes from."""

    recipe: LoadedRecipe
    row: Row
    profile: str
    settings: RunSettings
    seeds: tuple[int, ...]
    origins: dict[str, str]
    """Origin of every dotted key: `default`, `recipes/dit/table6.yaml:31` or `command line`."""
    seeds_origin: str

    def refusal(self, key: str, reason: str, remedy: str | None = None) -> RecipeError:
        """An error about one resolved value that says where it was set; for checks that need more than recipes."""
        value: Any = self.settings
        for step in key.split("."):
            value = getattr(value, step)
        return RecipeError(reason, file=self.origins[key], key=f"{key} = {show_value(value)}", remedy=remedy)


@dataclass(frozen=True)
class PlannedRun:
    """One run to execute, and the rows that show it."""

    settings: RunSettings
    seed: int
    row_ids: tuple[str, ...]


def resolve(
    loaded: LoadedRecipe, row_id: str, profile: str, overrides: Sequence[str] = (), seeds: Sequence[int] = ()
) -> ResolvedRow:
    """Merge all layers of one row; later wins: default < includes < common < profile < row < row's profile < overrides.

    `seeds`, when given, replaces the profile's. Raises RecipeError for an unknown row or profile, a wrong override, or
    values that contradict each other.
    """
    _check_row(loaded, row_id)
    _check_profile(loaded, profile)
    _check_row_has_profile(loaded, row_id, profile)
    values, origins = _merged(loaded, row_id, profile)
    for path, value in parse_overrides(overrides).items():
        values[path] = value
        origins[".".join(path)] = COMMAND_LINE
    settings = _complete(values, origins, f"{loaded.name}, row {row_id}, profile {profile}")
    all_origins = {key: origins.get(key, DEFAULT) for key in leaves(RunSettings)}
    settings = _without_unused(settings, all_origins)
    chosen, seeds_origin = _seeds(loaded, profile, seeds)
    return ResolvedRow(loaded, loaded.recipe.row(row_id), profile, settings, chosen, all_origins, seeds_origin)


def resolve_rows(
    loaded: LoadedRecipe,
    row_ids: Sequence[str],
    profile: str,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[ResolvedRow]:
    """Resolve the named rows, or all rows of the profile when none is named; see `resolve`."""
    for row_id in row_ids:
        _check_row(loaded, row_id)
    _check_profile(loaded, profile)
    chosen = dict.fromkeys(row_ids or [row.id for row in loaded.recipe.rows_of(profile)])
    return [resolve(loaded, row_id, profile, overrides, seeds) for row_id in chosen]


def planned_runs(rows: Sequence[ResolvedRow]) -> list[PlannedRun]:
    """All runs that the rows need, each once, seed by seed, so that every row has its first seed early.

    Rows that are never run (`not_run`, `not_implemented`) need none; raises RecipeError if no other is chosen.
    """
    if rows and not any(row.row.runs for row in rows):
        raise _never_run(rows)
    plans: dict[tuple[int, str], PlannedRun] = {}
    most = max((len(row.seeds) for row in rows), default=0)
    for repeat in range(most):
        for row in rows:
            if row.row.runs and repeat < len(row.seeds):
                seed = row.seeds[repeat]
                key = (seed, canonical_json(row.settings))
                shown_by = plans[key].row_ids if key in plans else ()
                plans[key] = PlannedRun(row.settings, seed, (*shown_by, row.row.id))
    return list(plans.values())


def _never_run(rows: Sequence[ResolvedRow]) -> RecipeError:
    first = rows[0]
    reason = first.row.not_implemented or first.row.not_run
    remedy = "count it with dit-bench flops"
    if first.row.not_implemented is None:
        remedy += ", or score weights with dit-bench eval --checkpoint"
    return RecipeError(f"row '{first.row.id}' is never run: {reason}", file=first.recipe.source.shown, remedy=remedy)


def _check_row(loaded: LoadedRecipe, row_id: str) -> None:
    if row_id not in loaded.recipe.row_ids:
        remedy = did_you_mean(row_id, loaded.recipe.row_ids)
        raise RecipeError(f"unknown row '{row_id}'", file=loaded.source.shown, remedy=remedy)


def _check_row_has_profile(loaded: LoadedRecipe, row_id: str, profile: str) -> None:
    row = loaded.recipe.row(row_id)
    if not row.belongs_to(profile):
        raise RecipeError(
            f"row '{row_id}' has no profile '{profile}'",
            file=loaded.source.shown,
            remedy=f"it has {', '.join(row.only_in or [])}; rows with {profile}: "
            + ", ".join(other.id for other in loaded.recipe.rows_of(profile)),
        )


def profiles_of(loaded: LoadedRecipe) -> list[str]:
    """Profiles that the recipe or a file that it includes defines, and that have rows."""
    defined = {name for name in PROFILES for layer in loaded.layers if _profile(layer.content.profiles, name)}
    return [name for name in PROFILES if name in defined and loaded.recipe.rows_of(name)]


def _check_profile(loaded: LoadedRecipe, profile: str) -> None:
    known = profiles_of(loaded)
    if profile not in known:
        raise RecipeError(f"unknown profile '{profile}'", file=loaded.source.shown, remedy=did_you_mean(profile, known))


def _profile(profiles: Any, name: str) -> Profile | None:
    return getattr(profiles, name)


def _merged(loaded: LoadedRecipe, row_id: str, profile: str) -> tuple[dict[tuple[str, ...], Any], dict[str, str]]:
    values: dict[tuple[str, ...], Any] = {}
    origins: dict[str, str] = {}

    def lay(settings: PartialSettings, source: Any, prefix: KeyPath) -> None:
        for path, value in given(settings).items():
            values[path] = value
            origins[".".join(path)] = source.at((*prefix, *path))

    for layer in loaded.layers:
        lay(layer.content.common, layer.source, ("common",))
        part = _profile(layer.content.profiles, profile)
        if part is not None:
            lay(part.settings, layer.source, ("profiles", profile, "settings"))
    index = loaded.recipe.row_ids.index(row_id)
    row = loaded.recipe.rows[index]
    lay(row.settings, loaded.source, ("rows", index, "settings"))
    lay(getattr(row.profiles, profile), loaded.source, ("rows", index, "profiles", profile))
    return values, origins


def _complete(values: dict[tuple[str, ...], Any], origins: dict[str, str], where: str) -> RunSettings:
    try:
        return RunSettings.model_validate(nested(values))
    except ValidationError as error:
        # Each value was checked alone before, so only checks across the keys of one group can fail here.
        problem = error.errors()[0]
        reason = str(problem.get("ctx", {}).get("error", problem["msg"]))
        group = ".".join(str(step) for step in problem["loc"])
        whole = {".".join(path): value for path, value in {**flat(RunSettings()), **values}.items()}
        involved = [
            f"{key} = {show_value(value)} ({origins.get(key, DEFAULT)})"
            for key, value in whole.items()
            if key.removeprefix(f"{group}.") in reason
        ]
        raise RecipeError(reason, file=where, key=group, remedy=", ".join(involved) or None) from None


LEARNED_VARIANTS = ("dynamic", "scale", "depth")
KEPT_WITHOUT_GATES = ("variant", "columns", "entry_scale_init", "budget_ratio")


def _without_unused(settings: RunSettings, origins: dict[str, str]) -> RunSettings:
    """Put routing settings without effect back to their defaults, so that equal runs have equal identities.

    The variant `diagonal` is PVTv2 itself, nothing is routed; without learned gates nothing about them is used.
    """
    routing = settings.routing
    if routing.variant in LEARNED_VARIANTS:
        return settings
    kept = ("variant",) if routing.variant == "diagonal" else KEPT_WITHOUT_GATES
    bare = settings.model_copy(update={"routing": RoutingSettings(**{key: getattr(routing, key) for key in kept})})
    before, after = flat(settings), flat(bare)
    for path in before:
        if before[path] != after[path]:
            origins[".".join(path)] = f"{DEFAULT} (no effect with variant {routing.variant})"
    return bare


def _seeds(loaded: LoadedRecipe, profile: str, asked: Sequence[int]) -> tuple[tuple[int, ...], str]:
    if asked:
        return tuple(dict.fromkeys(asked)), COMMAND_LINE
    for layer in reversed(loaded.layers):
        part = _profile(layer.content.profiles, profile)
        if part is not None and part.seeds is not None:
            return tuple(part.seeds), layer.source.at(("profiles", profile, "seeds"))
    return (0,), DEFAULT
