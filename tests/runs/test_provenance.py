from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import dit_bench
from dit_bench.runs import provenance
from dit_bench.runs.provenance import code_sha256, collect_provenance, starting_points
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.record import RunRecord, StartingPoint


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


def test_plugins_processes_and_data_are_taken_over() -> None:
    start = StartingPoint(run_id="run", weights_sha256="cd")
    found = collect_provenance(
        device="cpu",
        threads=1,
        plugins={"my-gates": "1.2"},
        processes=4,
        data_manifest_sha256="train",
        evaluation_manifest_sha256="val",
        starts_from=[start],
    )
    assert (found.plugins, found.processes, found.starts_from) == ({"my-gates": "1.2"}, 4, [start])
    assert (found.data_manifest_sha256, found.evaluation_manifest_sha256) == ("train", "val")


def test_weights_that_training_begins_with(tmp_path: Path, record: RunRecord) -> None:
    assert starting_points(record.settings) == []
    file = tmp_path / "pvt.safetensors"
    file.write_bytes(b"abc")
    # The published test vector of SHA-256.
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    model = record.settings.model.model_copy(update={"init_weights": str(file)})
    named = record.settings.model_copy(update={"model": model})
    assert starting_points(named) == [StartingPoint(file=str(file), weights_sha256=abc)]
    (tmp_path / "weights.safetensors").write_bytes(b"abc")
    earlier = FinishedRun(tmp_path, record)
    assert starting_points(record.settings, earlier) == [StartingPoint(run_id=record.run_id, weights_sha256=abc)]


def test_the_hash_of_the_code_sees_names_and_contents(checkout: Path) -> None:
    hashes = [code_sha256()]
    (checkout / "notes.txt").write_text("no code", encoding="utf-8")
    assert code_sha256() == hashes[0]
    (checkout / "models").mkdir()
    (checkout / "models" / "a.py").write_text("1", encoding="utf-8")
    hashes.append(code_sha256())
    (checkout / "models" / "a.py").write_text("2", encoding="utf-8")
    hashes.append(code_sha256())
    (checkout / "models" / "a.py").rename(checkout / "models" / "b.py")
    hashes.append(code_sha256())
    assert len(set(hashes)) == len(hashes)


def _collected() -> tuple[str | None, bool | None]:
    found = collect_provenance(device="cpu", threads=1)
    return found.git_commit, found.git_dirty


def test_versions_time_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somebody/bin/dit-bench", "train", "dit/table6"])
    found = collect_provenance(device="cpu", threads=2, weights_sha256="ab")
    assert found.argv == ["dit-bench", "train", "dit/table6"]
    assert set(found.packages) >= {"torch", "timm", "torchvision", "numpy", "pillow", "scikit-learn"}
    assert found.packages["numpy"].count(".") >= 1
    assert found.dit_bench_version == dit_bench.__version__
    assert (found.device, found.threads, found.accelerator, found.weights_sha256) == ("cpu", 2, None, "ab")
    assert found.processor
    assert (found.plugins, found.processes, found.starts_from) == ({}, 1, None)
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
