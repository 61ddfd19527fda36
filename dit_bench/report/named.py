"""What a word on the command line names: a recipe, a run or a saved table."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dit_bench.errors import UsageError
from dit_bench.recipes.names import names_recipe, recipe_names
from dit_bench.recipes.suggest import nearest
from dit_bench.runs.find import matching_runs, near_runs
from dit_bench.runs.read import RECORD_FILE, run_folders

TABLE_SUFFIXES = (".json", ".md", ".csv", ".tex")
Named = Literal["recipe", "run", "table"]


def what_is_named(word: str, root: Path) -> Named:
    """Which kind of thing `word` names, misspelt or not; `root` is the results folder whose runs are looked through.

    Raises UsageError for a word that names two of them, or that is near to none.
    """
    path = Path(word).expanduser()
    if path.suffix in TABLE_SUFFIXES and path.name != RECORD_FILE and not path.is_dir():
        return "table"
    recipe = word in recipe_names() or path.suffix in (".yaml", ".yml")
    runs = matching_runs(word, root)
    if recipe and runs:
        raise UsageError(
            f"'{word}' is both a recipe and a run, {runs[0]}",
            remedy=f"say which: the recipe's file (….yaml), or {runs[0].resolve()}",
        )
    if recipe or runs:
        return "recipe" if recipe else "run"
    if path.is_file():
        raise UsageError(f"{path}: not a recipe (….yaml), a run's folder or a table's JSON")
    if path.is_dir() or (path.parent != Path() and path.parent.is_dir() and run_folders(path.parent)):
        return "run"
    tails = {name.rpartition("/")[2] for name in recipe_names()}
    if names_recipe(word) or word in tails:
        return "recipe"
    near = [*nearest(word, recipe_names()), *near_runs(word, root)]
    remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else "'dit-bench list' and 'list --runs' name them"
    raise UsageError(f"no recipe and no run in {root} is called '{word}'", remedy=remedy)
