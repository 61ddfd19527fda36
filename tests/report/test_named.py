from __future__ import annotations

from pathlib import Path

import pytest

from dit_bench.errors import UsageError
from dit_bench.recipes.settings import RunSettings
from dit_bench.report.named import what_is_named
from tests.report.finished_runs import publish_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    publish_run(tmp_path / "runs", RunSettings(), 0, {})
    return tmp_path / "runs"


def test_recipes_runs_and_tables(root: Path) -> None:
    name = next(root.glob("dit_mini*")).name
    named = {
        "recipe": ["dit/table6", "own.yaml", "dit/tabel6", "table6", "nowhere/else"],
        "run": [name, "dit_mini-dyn", f"runs/{name}", f"runs/{name}/run.json", "runs", f"runs/{name[:-1]}9"],
        "table": ["table.json", "results/table.md", "table.csv", "table.tex"],
    }
    for kind, words in named.items():
        for word in words:
            assert what_is_named(word, root) == kind, word


def test_a_word_that_names_both_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "dit").mkdir()
    run = next(root.glob("dit_mini*")).rename(tmp_path / "dit" / "table6")
    with pytest.raises(UsageError, match=rf"'dit/table6' is both a recipe and a run, .* — say which: .*{run}"):
        what_is_named("dit/table6", root)
    assert what_is_named(str(run), root) == "run"


def test_a_word_that_names_nothing(root: Path) -> None:
    with pytest.raises(UsageError, match=r"no recipe and no run in .* is called 'dit_mni' — did you mean 'dit_mini'\?"):
        what_is_named("dit_mni", root)
    (root / "epochs.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match=r"epochs\.jsonl: not a recipe"):
        what_is_named(str(root / "epochs.jsonl"), root)
    with pytest.raises(UsageError, match=r"is called 'zzz' — 'dit-bench list' and 'list --runs' name them"):
        what_is_named("zzz", root)
