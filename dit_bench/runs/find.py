"""Finding a finished run by what people type: its folder, its name, the beginning of its name or of its hash."""

from __future__ import annotations

from pathlib import Path

from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.names import recipe_names
from dit_bench.recipes.suggest import did_you_mean, nearest
from dit_bench.runs.read import PARTIAL_SUFFIX, RECORD_FILE, FinishedRun, load_run, run_folders

MOST_RUNS_LISTED = 6


def find_run(word: str, root: Path) -> FinishedRun:
    """The finished run that `word` names: a folder, or a run of the results folder `root`.

    Raises UsageError for a word that names no run, several, or one that is not finished; DataError for a damaged run.
    """
    found = matching_runs(word, root)
    if len(found) == 1:
        return load_run(found[0])
    if found:
        listed = [folder.name for folder in found[:MOST_RUNS_LISTED]]
        more = len(found) - len(listed)
        names = ", ".join(listed) + (f" and {more} more" if more else "")
        raise UsageError(f"'{word}' is the beginning of {len(found)} runs", remedy=f"which one of {names}?")
    raise _no_run(word, root)


def matching_runs(word: str, root: Path) -> list[Path]:
    """Folders of the runs that `word` may name, unread: one if it names one exactly."""
    path = Path(word).expanduser()
    path = path.parent if path.name == RECORD_FILE else path
    if (path / RECORD_FILE).is_file() and not path.name.endswith(PARTIAL_SUFFIX):
        return [path]
    folders = run_folders(root)
    exact = [folder for folder in folders if folder.name == word]
    if exact or not word:
        return exact
    return [folder for folder in folders if any(handle.startswith(word) for handle in _handles(folder.name))]


def near_runs(word: str, root: Path) -> list[str]:
    """Names of runs, or beginnings of names as long as `word`, that were probably meant."""
    handles = [handle for folder in run_folders(root) for handle in _handles(folder.name)]
    # One character more: where the slip is a missing one, that is what should have been typed.
    found = nearest(word, {handle[: len(word) + more] for handle in handles for more in (0, 1)})
    return [name for name in found if not any(other != name and other.startswith(name) for other in found)]


def _handles(name: str) -> tuple[str, str]:
    """A run's name, and from its hash on: tables in a terminal show no more."""
    before, _, seed = name.rpartition("-seed")
    return name, f"{before.rpartition('-')[2]}-seed{seed}"


def _no_run(word: str, root: Path) -> UsageError | DataError:
    path = Path(word).expanduser()
    for folder in (path, root / word, root / f"{word}{PARTIAL_SUFFIX}"):
        if folder.is_dir() and folder.name.endswith(PARTIAL_SUFFIX):
            return UsageError(f"{folder}: not finished", remedy="the command that began the run goes on with it")
    if path.is_dir():
        inside = run_folders(path)
        remedy = f"name one of the {len(inside)} runs in it" if inside else "name the folder of a finished run"
        return DataError(f"{path}: no {RECORD_FILE} in it, so it is not a run", remedy=remedy)
    if word in recipe_names():
        return UsageError(f"'{word}' is a recipe, not a run", remedy="'dit-bench list --runs' names the runs")
    if path.parent != Path() and path.parent.is_dir():
        root, word = path.parent, path.name
    known = run_folders(root)
    if not known:
        return UsageError(
            f"no run '{word}': there is no finished run in {root}", remedy="name the folder of the runs: --results DIR"
        )
    near = near_runs(word, root)
    remedy = did_you_mean(word, near) if near else f"'dit-bench list --runs --results {root}' names all {len(known)}"
    return UsageError(f"no run '{word}' in {root}", remedy=remedy)
