from __future__ import annotations

from pathlib import Path

import pytest

from dit_bench.errors import DataError, UsageError
from dit_bench.runs.find import find_run, matching_runs, near_runs
from dit_bench.runs.read import run_folders
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore


@pytest.fixture
def root(tmp_path: Path, record: RunRecord) -> Path:
    """Seeds 1, 10 and 11, the first one twice; seed 2 is not finished."""
    root = tmp_path / "runs"
    store = RunStore(root)
    for seed in (1, 10, 11, 1):
        store.begin(record.settings, seed, force=True).publish(record.model_copy(update={"seed": seed}))
    store.begin(record.settings, 2).close()
    return root


@pytest.fixture
def name(root: Path) -> str:
    """The name of the run of seed 1."""
    return run_folders(root)[0].name


def test_a_run_by_name_beginning_hash_folder_or_record(root: Path, name: str) -> None:
    assert name.endswith("-seed1")
    by_hash = name.split("-")[2] + "-seed10"
    for word, seed in (
        (name, 1),
        (f"{name}0", 10),
        (by_hash, 10),
        (str(root / name), 1),
        (f"{root / name}/run.json", 1),
    ):
        assert find_run(word, root).record.seed == seed
    assert find_run(f"{name}-r2", root).path.name == f"{name}-r2"
    assert find_run(str(root / name), Path("elsewhere")).path == root / name
    assert find_run(name[:-1] + "11", root).record.seed == 11


def test_a_beginning_of_several_runs_names_them(root: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"is the beginning of 4 runs — which one of .*-seed1, .*-seed1-r2, .*-seed10"):
        find_run(name[:-1], root)
    assert matching_runs("", root) == []


def test_many_runs_are_not_all_named(root: Path, record: RunRecord) -> None:
    store = RunStore(root)
    for seed in range(20, 25):
        store.begin(record.settings, seed).publish(record.model_copy(update={"seed": seed}))
    with pytest.raises(UsageError, match=r"beginning of 9 runs — which one of (\S+, ){5}\S+ and 3 more\?"):
        find_run("dit_mini", root)


@pytest.mark.parametrize(
    ("alter", "meant"),
    [(lambda name: name.replace("mini", "mni"), "dit_mini"), (lambda name: name[:-1] + "7", "-seed1'")],
)
def test_a_misspelt_run_gets_the_nearest(root: Path, name: str, alter, meant: str) -> None:
    for word in (alter(name), str(root / alter(name))):
        with pytest.raises(UsageError, match=f"no run .* in .*did you mean '.*{meant}"):
            find_run(word, root)


def test_a_misspelt_beginning_gets_the_right_one(root: Path) -> None:
    assert near_runs("dit_mni-dyn", root) == ["dit_mini-dyn"]
    assert near_runs("dit_mimi", root) == ["dit_mini"]


def test_what_is_no_run(root: Path, name: str, tmp_path: Path) -> None:
    unfinished = name[:-1] + "2"
    for word in (unfinished, f"{unfinished}.partial", str(root / f"{unfinished}.partial")):
        with pytest.raises(UsageError, match=r"\.partial: not finished — the command that began the run"):
            find_run(word, root)
    with pytest.raises(UsageError, match=r"no run 'zzz' in .* — 'dit-bench list --runs --results .*' names all 4"):
        find_run("zzz", root)
    with pytest.raises(DataError, match=r"no run\.json in it, so it is not a run — name one of the 4 runs in it"):
        find_run(str(root), root)
    with pytest.raises(UsageError, match=r"'dit/table6' is a recipe, not a run — 'dit-bench list --runs' names"):
        find_run("dit/table6", root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="so it is not a run — name the folder of a finished run"):
        find_run(str(tmp_path / "empty"), root)
    for empty in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(
            UsageError, match=r"there is no finished run in .* — name the folder of the runs: --results"
        ):
            find_run(name, empty)


def test_a_damaged_run_is_named(root: Path, name: str) -> None:
    (root / name / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"run\.json: damaged"):
        find_run(name, root)
