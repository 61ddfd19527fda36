"""Reading a recipe with everything it includes, checked as a whole before any work starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from dit_bench.recipes.names import find_recipe, short_name, shown_path
from dit_bench.recipes.problems import KeyPath, RecipeError, recipe_error, show_path
from dit_bench.recipes.schema import Fragment, Layered, Recipe
from dit_bench.recipes.suggest import did_you_mean
from dit_bench.recipes.yaml_data import YamlSource, read_yaml

AnyFile = TypeVar("AnyFile", bound=Layered)


@dataclass(frozen=True)
class Layer:
    """One file of a recipe's include chain."""

    content: Layered
    source: YamlSource


@dataclass(frozen=True)
class LoadedRecipe:
    """A checked recipe and the files it is made of."""

    name: str
    """Short name, or the shown path of a recipe of the user's own."""
    path: Path
    recipe: Recipe
    source: YamlSource
    layers: tuple[Layer, ...]
    """The include chain, outermost file first and the recipe itself last: a later layer wins."""


def load_recipe(name: str) -> LoadedRecipe:
    """Load a recipe by short name or path and check every key and value in it and in what it includes.

    Raises RecipeError with file, line, key and nearest right name. Checks across keys belong to `resolve`.
    """
    path = find_recipe(name)
    source = read_yaml(path, shown_path(path))
    recipe = checked(Recipe, source)
    layers = [*_included(recipe, source, path, (path,)), Layer(recipe, source)]
    return LoadedRecipe(short_name(path), path, recipe, source, tuple(layers))


def checked(model: type[AnyFile], source: YamlSource) -> AnyFile:
    """The content of one file, every key and value checked; RecipeError for the first thing that is wrong."""
    try:
        content = model.model_validate(source.data)
    except ValidationError as error:
        raise recipe_error(error, model, source) from None
    if isinstance(content, Recipe):
        _check_references(content, source)
    return content


def _included(content: Layered, source: YamlSource, path: Path, chain: tuple[Path, ...]) -> list[Layer]:
    if content.include is None:
        return []
    target = (path.parent / content.include).resolve()
    if target in chain:
        circle = " -> ".join(shown_path(file) for file in (*chain[chain.index(target) :], target))
        raise _problem(source, ("include",), f"files include each other in a circle: {circle}")
    if not target.is_file():
        siblings = [found.name for found in target.parent.glob("*.y*ml")]
        reason = f"no such file: {content.include}"
        raise _problem(source, ("include",), reason, did_you_mean(target.name, siblings))
    inner_source = read_yaml(target, shown_path(target))
    inner = checked(Fragment, inner_source)
    return [*_included(inner, inner_source, target, (*chain, target)), Layer(inner, inner_source)]


def _check_references(recipe: Recipe, source: YamlSource) -> None:
    """Row and claim ids stand once, and every row that is spoken of exists."""
    for group, entries in (("rows", recipe.rows), ("claims", recipe.claims)):
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            if entry.id in seen:
                raise _problem(source, (group, index, "id"), f"the id '{entry.id}' stands twice", "ids must differ")
            seen.add(entry.id)
    spoken_of: list[tuple[KeyPath, str]] = []
    if recipe.reference_row is not None:
        spoken_of.append((("reference_row",), recipe.reference_row))
    if recipe.base is not None and recipe.base.row is not None:
        spoken_of.append((("base", "row"), recipe.base.row))
    spoken_of += [
        (("rows", index, "reference"), row.reference)
        for index, row in enumerate(recipe.rows)
        if row.reference is not None
    ]
    for index, claim in enumerate(recipe.claims):
        spoken_of += [(("claims", index, "higher"), claim.higher), (("claims", index, "lower"), claim.lower)]
    for path, row_id in spoken_of:
        if row_id not in recipe.row_ids:
            raise _problem(source, path, f"no row '{row_id}'", did_you_mean(row_id, recipe.row_ids))


def _problem(source: YamlSource, path: KeyPath, reason: str, remedy: str | None = None) -> RecipeError:
    return RecipeError(reason, file=source.shown, line=source.line(path), key=show_path(path), remedy=remedy)
