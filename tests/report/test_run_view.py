from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dit_bench.recipes.identity import hash10, run_name
from dit_bench.recipes.lineage import lineage
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import resolve
from dit_bench.recipes.settings import RunSettings
from dit_bench.report.run_view import code_text, run_document, run_lines, weights_problem
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.record import StartingPoint
from tests.report.finished_runs import WEIGHTS, publish_run


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    return publish_run(tmp_path, RunSettings(), 3, {"top1_percent": 88.25})


def _line(document: dict[str, Any], section: str, key: str) -> str:
    (value,) = [text for part, name, text in run_lines(document) if (part, name) == (section, key)]
    return value


def test_everything_about_a_run(run: FinishedRun) -> None:
    document = run_document(run)
    assert document["record"] == run.record.model_dump(mode="json")
    assert (document["run"], document["identity"]) == (run.path.name, hash10(RunSettings()))
    assert document["weights"] == "match"
    assert weights_problem(document) is None
    assert {file["name"]: file["size_bytes"] for file in document["files"]}["weights.safetensors"] == len(WEIGHTS)
    assert _line(document, "run", "seed") == "3"
    assert _line(document, "metrics", "top1_percent") == "88.25"
    assert _line(document, "provenance", "packages.torch") == run.record.provenance.packages["torch"]
    assert _line(document, "provenance", "plugins") == "none"
    assert _line(document, "provenance", "accelerator") == "—"
    assert _line(document, "settings", "routing.gate.temperature") == "1.0"
    assert _line(document, "settings", "routing.columns") == "[0, 1, 2, 3, 4]"
    assert _line(document, "files", "weights.safetensors") == "7 B"
    assert not [key for section, key, _ in run_lines(document) if section == "settings" and key.startswith("pruning")]


def test_weights_that_are_no_longer_those_of_the_record(run: FinishedRun) -> None:
    run.weights_file.write_bytes(b"other")
    document = run_document(run)
    assert document["weights"] == "differ"
    assert "NOT those of the record" in _line(document, "run", "weights on disk")
    assert str(run.path) in (weights_problem(document) or "")
    run.weights_file.unlink()
    assert _line(run_document(run), "run", "weights on disk") == "missing"
    assert weights_problem(run_document(run)) is None


def test_a_folder_that_was_given_another_runs_name(run: FinishedRun) -> None:
    assert _line(run_document(run), "run", "identity of the settings").endswith("as in its name")
    moved = run.path.rename(run.path.with_name("dit_mini-dynamic-0123456789-seed3"))
    document = run_document(FinishedRun(moved, run.record))
    assert not document["identity_in_name"]
    assert "NOT that of its name" in _line(document, "run", "identity of the settings")


def test_the_runs_that_a_run_grew_out_of(tmp_path: Path) -> None:
    settings = resolve(load_recipe("dtop/table1"), "direct", "mini").settings
    before = lineage(settings)[:-1]
    names = [run_name(earlier, 0) for earlier in before]
    assert names
    later = publish_run(tmp_path, settings, 0, {})
    gone = {"kind": "run", "state": "not there any more", "weights_sha256": None}
    assert run_document(later)["lineage"] == [{"name": name, **gone} for name in names]
    first = publish_run(tmp_path, before[-1], 0, {})
    entry = run_document(later)["lineage"][-1]
    assert (entry["name"], entry["state"].startswith("there; the SHA-256")) == (names[-1], True)

    sha = first.record.provenance.weights_sha256 or ""
    for weights_sha256, state in ((sha, "there, the same weights"), ("0" * 64, "there, but with OTHER weights")):
        start = StartingPoint(run_id=names[-1], weights_sha256=weights_sha256)
        provenance = later.record.provenance.model_copy(update={"starts_from": [start]})
        recorded = FinishedRun(later.path, later.record.model_copy(update={"provenance": provenance}))
        entry = run_document(recorded)["lineage"][-1]
        assert entry == {"name": names[-1], "kind": "run", "state": state, "weights_sha256": weights_sha256}
    assert _line(run_document(later), "starts from", names[-1])
    assert run_document(publish_run(tmp_path, RunSettings(), 0, {}))["lineage"] == []


def test_a_file_of_initial_weights(tmp_path: Path) -> None:
    file = tmp_path / "pvt.safetensors"
    model = RunSettings().model.model_copy(update={"init_weights": str(file)})
    run = publish_run(tmp_path / "runs", RunSettings().model_copy(update={"model": model}), 0, {})
    assert run_document(run)["lineage"][0]["state"] == "not there any more"
    file.write_bytes(WEIGHTS)
    start = StartingPoint(file=str(file), weights_sha256=run.record.provenance.weights_sha256 or "")
    provenance = run.record.provenance.model_copy(update={"starts_from": [start]})
    recorded = FinishedRun(run.path, run.record.model_copy(update={"provenance": provenance}))
    (entry,) = run_document(recorded)["lineage"]
    assert (entry["name"], entry["kind"], entry["state"]) == (str(file), "file", "there, the same weights")


@pytest.mark.parametrize(
    ("commit", "dirty", "text"),
    [
        ("0123456789abcdef", True, "dit-bench 1, commit 0123456789ab, with changes that the commit lacks"),
        ("0123456789abcdef", False, "dit-bench 1, commit 0123456789ab, without changes"),
        ("0123456789abcdef", None, "dit-bench 1, commit 0123456789ab, changes unknown"),
        (None, None, "dit-bench 1, no checkout"),
    ],
)
def test_the_code_in_words(commit: str | None, dirty: bool | None, text: str) -> None:
    assert code_text({"dit_bench_version": "1", "git_commit": commit, "git_dirty": dirty}) == text
