from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import dit_bench
from dit_bench.runs import provenance
from dit_bench.runs.provenance import collect_provenance


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "core.hooksPath="]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "repo" / "dit_bench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    _git(package.parent, "init", "-q")
    monkeypatch.setattr(dit_bench, "__file__", str(package / "__init__.py"))
    return package


def _collected() -> tuple[str | None, bool | None]:
    found = collect_provenance(device="cpu", threads=1)
    return found.git_commit, found.git_dirty


def test_versions_time_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somebody/bin/dit-bench", "train", "dit/table6"])
    found = collect_provenance(device="cpu", threads=2, weights_sha256="ab")
    assert found.argv == ["dit-bench", "train", "dit/table6"]
    assert set(found.packages) == {"torch", "timm", "torchvision", "numpy"}
    assert found.packages["numpy"].count(".") >= 1
    assert found.dit_bench_version == dit_bench.__version__
    assert (found.device, found.threads, found.accelerator, found.weights_sha256) == ("cpu", 2, None, "ab")
    assert found.processor
    age = datetime.now(timezone.utc) - datetime.fromisoformat(found.created_utc)
    assert timedelta(seconds=-1) < age < timedelta(minutes=1)


def test_commit_and_changes_of_the_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _collected() == (None, None)
    _git(checkout, "add", ".")
    assert _collected() == (None, None)
    _git(checkout, "commit", "-qm", "first")
    commit = _git(checkout, "rev-parse", "HEAD")
    assert _collected() == (commit, False)
    (checkout.parent / "results.md").write_text("a result is no change of the code", encoding="utf-8")
    assert _collected() == (commit, False)
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert _collected() == (commit, False)
    (checkout / "new.py").write_text("", encoding="utf-8")
    assert _collected() == (commit, True)


def test_another_repository_around_an_installed_copy_is_not_ours(checkout: Path) -> None:
    (checkout.parent / "file").write_text("", encoding="utf-8")
    _git(checkout.parent, "add", "file")
    _git(checkout.parent, "commit", "-qm", "somebody else's")
    assert _collected() == (None, None)


def test_no_git_and_unknown_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package-at-all"))
    found = collect_provenance(device="cpu", threads=1)
    assert (found.git_commit, found.git_dirty) == (None, None)
    assert set(found.packages) == {"numpy"}
