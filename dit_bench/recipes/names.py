"""Finding recipes: by path, or by short name such as `dit/table6`."""

from __future__ import annotations

from pathlib import Path

import dit_bench
from dit_bench.recipes.problems import RecipeError
from dit_bench.recipes.suggest import did_you_mean

SHARED_FOLDER = "base"
"""Folder below the recipes root whose files are included by recipes and are none themselves."""
_SUFFIXES = (".yaml", ".yml")


def recipes_root() -> Path:
    """Folder of the recipes that come with dit-bench: inside the installed package, else beside it."""
    package = Path(dit_bench.__file__).resolve().parent
    shipped = package / "shipped_recipes"
    return shipped if shipped.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Short names of all recipes that come with dit-bench, sorted."""
    root = recipes_root()
    files = (path.relative_to(root) for path in root.rglob("*.yaml"))
    return sorted(path.with_suffix("").as_posix() for path in files if path.parts[0] != SHARED_FOLDER)


def names_recipe(name: str) -> bool:
    """Whether a word on the command line, which may also name a model or a figure, means a recipe, misspelt or not."""
    return name in recipe_names() or "/" in name or name.endswith(_SUFFIXES)


def find_recipe(name: str) -> Path:
    """File of a recipe, given by short name or, when it ends with .yaml or .yml, by path.

    Raises RecipeError with the nearest name when there is none.
    """
    if name.endswith(_SUFFIXES):
        path = Path(name).expanduser()
        if not path.is_file():
            siblings = [found.name for found in path.parent.glob("*") if found.suffix in _SUFFIXES]
            remedy = did_you_mean(path.name, siblings) if path.parent.is_dir() else f"no folder {path.parent}"
            raise RecipeError(f"no such recipe file: {name}", remedy=remedy)
        return path.resolve()
    names = recipe_names()
    if name not in names:
        # The papers number their tables alike: without the paper, all of that number are meant.
        alike = [known for known in names if known.rpartition("/")[2] == name]
        remedy = f"did you mean {' or '.join(map(repr, alike))}?" if alike else did_you_mean(name, names)
        raise RecipeError(f"unknown recipe '{name}'", remedy=remedy)
    return recipes_root() / f"{name}.yaml"


def shown_path(path: Path) -> str:
    """How messages call a recipe file: from the recipes folder or the working folder on, else in full."""
    root = recipes_root()
    if path.is_relative_to(root):
        return (Path("recipes") / path.relative_to(root)).as_posix()
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def short_name(path: Path) -> str:
    """Short name of a recipe that comes with dit-bench, else its shown path."""
    root = recipes_root()
    return path.relative_to(root).with_suffix("").as_posix() if path.is_relative_to(root) else shown_path(path)
