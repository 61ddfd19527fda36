"""Everything about one finished run, for people and programs: settings, figures, provenance, files, lineage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dit_bench.errors import DataError
from dit_bench.recipes.identity import canonical_json, hash10, run_name
from dit_bench.recipes.lineage import lineage
from dit_bench.recipes.problems import show_value
from dit_bench.report.numbers import MISSING
from dit_bench.runs.files import file_sha256, run_files, weights_state
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore

RUN_HEADINGS = ("section", "key", "value")
WEIGHTS_WORDS = {
    "match": "those of the record (SHA-256 checked)",
    "differ": "NOT those of the record: their SHA-256 differs",
    "missing": "missing",
    "not recorded": "no SHA-256 on record",
}


def run_document(run: FinishedRun) -> dict[str, Any]:
    """The run as plain data; its weights are read and compared with their recorded hash."""
    record = run.record
    return {
        "run": run.path.name,
        "folder": str(run.path),
        "record": record.model_dump(mode="json"),
        "effective_settings": json.loads(canonical_json(record.settings)),
        "identity": hash10(record.settings),
        "identity_in_name": run.path.name.startswith(run_name(record.settings, record.seed)),
        "weights": weights_state(run),
        "files": [{"name": file.name, "size_bytes": file.size_bytes} for file in run_files(run.path)],
        "lineage": _lineage(run),
    }


def run_lines(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Section, key and value of everything that people look for; settings without effect are left out."""
    record = document["record"]
    made: dict[str, Any] = dict(record["provenance"])
    lines = [
        ("run", "name", document["run"]),
        ("run", "folder", document["folder"]),
        ("run", "task", record["settings"]["task"]),
        ("run", "seed", str(record["seed"])),
        ("run", "identity of the settings", _identity(document)),
        ("run", "images evaluated", str(record["num_images"])),
        ("run", "weights on disk", WEIGHTS_WORDS[document["weights"]]),
        *(("starts from", entry["name"], entry["state"]) for entry in document["lineage"]),
        ("provenance", "created", made.pop("created_utc")),
        ("provenance", "code", code_text(made)),
        ("provenance", "command", " ".join(made.pop("argv"))),
    ]
    for key in ("dit_bench_version", "git_commit", "git_dirty", "starts_from"):
        del made[key]
    for key, value in made.items():
        lines += [("provenance", name, text) for name, text in _flat_text({key: value})]
    lines += [("metrics", key, f"{value:.6g}") for key, value in record["metrics"].items()]
    lines += [("training", key, f"{value:.6g}") for key, value in record["training"].items()]
    lines += [("settings", key, text) for key, text in _flat_text(document["effective_settings"])]
    lines += [("files", file["name"], _size(file["size_bytes"])) for file in document["files"]]
    return lines


def code_text(provenance: Mapping[str, Any]) -> str:
    """Version, commit and whether the checkout had changes, in words."""
    commit, dirty = provenance["git_commit"], provenance["git_dirty"]
    changes = {True: "with changes that the commit lacks", False: "without changes", None: "changes unknown"}[dirty]
    checkout = "no checkout" if commit is None else f"commit {commit[:12]}, {changes}"
    return f"dit-bench {provenance['dit_bench_version']}, {checkout}"


def weights_problem(document: Mapping[str, Any]) -> str | None:
    """What is wrong with the weights, None if nothing is known to be."""
    return f"{document['folder']}: weights are {WEIGHTS_WORDS['differ']}" if document["weights"] == "differ" else None


def _identity(document: Mapping[str, Any]) -> str:
    agrees = "as in its name" if document["identity_in_name"] else "NOT that of its name"
    return f"{document['identity']}, {agrees}"


def _lineage(run: FinishedRun) -> list[dict[str, str | None]]:
    """What the run started from: earlier runs, the first one first, and the file of initial weights."""
    record, store = run.record, RunStore(run.path.parent)
    recorded = {start.run_id or start.file: start.weights_sha256 for start in record.provenance.starts_from or ()}
    found = []
    for settings in lineage(record.settings)[:-1]:
        earlier = store.find(settings, record.seed)
        name = run_name(settings, record.seed) if earlier is None else earlier.record.run_id
        file = None if earlier is None else earlier.weights_file
        found.append({"name": name, "kind": "run", **_start_state(file, recorded.get(name))})
    if (file := record.settings.model.init_weights) is not None:
        found.append({"name": file, "kind": "file", **_start_state(Path(file).expanduser(), recorded.get(file))})
    return found


def _start_state(file: Path | None, recorded: str | None) -> dict[str, str | None]:
    if file is None or not file.is_file():
        state = "not there any more"
    elif recorded is None:
        state = "there; the SHA-256 that the run started from is not on record"
    else:
        try:
            state = "there, the same weights" if file_sha256(file) == recorded else "there, but with OTHER weights"
        except DataError as error:
            state = error.message
    return {"state": state, "weights_sha256": recorded}


def _flat_text(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat_text(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    if value is None or value == {}:
        return MISSING if value is None else "none"
    return value if isinstance(value, str) else show_value(value)


def _size(size_bytes: int) -> str:
    """In units of 1,000."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= step:
            return f"{size_bytes / step:.1f} {unit}"
    return f"{size_bytes} B"
