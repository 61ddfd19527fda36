"""A resolved row as data for people and programs: every value with its origin."""

from __future__ import annotations

from typing import Any

from dit_bench.recipes.identity import hash10
from dit_bench.recipes.load import LoadedRecipe
from dit_bench.recipes.partial import flat
from dit_bench.recipes.problems import leaves, show_value
from dit_bench.recipes.resolve import ResolvedRow, profiles_of
from dit_bench.recipes.settings import RunSettings


def described(row: ResolvedRow) -> list[tuple[str, str, str]]:
    """Key, value and origin of everything that a row resolves to; then its printed figures, as `printed.<key>`."""
    values = {".".join(path): value for path, value in flat(row.settings).items()}
    lines = [(key, show_value(values[key]), row.origins[key]) for key in leaves(RunSettings)]
    lines.append(("seeds", show_value(list(row.seeds)), row.seeds_origin))
    source = row.recipe.source
    place = ("rows", row.recipe.recipe.row_ids.index(row.row.id), "printed")
    for key, value in row.row.printed.model_dump(exclude_none=True).items():
        lines.append((f"printed.{key}", show_value(value), source.at((*place, key))))
    return lines


def described_json(row: ResolvedRow) -> dict[str, Any]:
    """The same as plain data, with the settings nested as in a recipe."""
    return {
        "id": row.row.id,
        "label": row.row.label,
        "note": row.row.note,
        "printed": row.row.printed.model_dump(exclude_none=True),
        "seeds": list(row.seeds),
        "identity": hash10(row.settings),
        "settings": row.settings.model_dump(mode="json"),
        "origins": {**row.origins, "seeds": row.seeds_origin},
    }


def recipe_summary(loaded: LoadedRecipe) -> dict[str, Any]:
    """What a list of recipes says about one."""
    recipe = loaded.recipe
    return {
        "name": loaded.name,
        "kind": recipe.kind,
        "rows": recipe.row_ids,
        "profiles": profiles_of(loaded),
        "title": recipe.title,
    }
