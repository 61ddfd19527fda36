from __future__ import annotations

import json
from pathlib import Path

import pytest

from dit_bench.errors import DataError
from dit_bench.recipes.identity import run_name
from dit_bench.runs.read import load_record, load_run
from dit_bench.runs.record import SCHEMA_VERSION
from dit_bench.runs.upgrade import RUN_RECORD, Format, upgraded

FIXTURE = Path(__file__).parent / "fixtures" / "run-version-1.json"
"""As dit-bench wrote it when it only knew version 1."""
FILE = Path("folder/file.json")


def test_steps_are_applied_one_after_the_other_and_only_those_that_are_needed() -> None:
    form = Format("a list", (lambda d: {**d, "steps": [*d["steps"], 3]}, lambda d: {**d, "steps": [*d["steps"], 4]}), 3)
    assert form.newest == 5
    oldest = {"schema_version": 3, "steps": []}
    assert upgraded(oldest, form, FILE) == {"schema_version": 5, "steps": [3, 4]}
    assert oldest == {"schema_version": 3, "steps": []}
    assert upgraded({"schema_version": 4, "steps": []}, form, FILE)["steps"] == [4]
    newest = {"schema_version": 5, "steps": []}
    assert upgraded(newest, form, FILE) == newest


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"schema_version": 6},
            r"folder/file\.json: written by a newer dit-bench \(schema_version 6, this one reads up to 5\) — update",
        ),
        ({"schema_version": 2}, r"schema_version 2 can no longer be read: nothing leads from it to version 5 — make"),
        ({"schema_version": "5"}, r"schema_version = '5' is no version — expected a list of version 5"),
        ({"schema_version": True}, "schema_version = True is no version"),
        ({}, "no schema_version"),
    ],
)
def test_a_version_that_no_path_leads_from_is_refused(document: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        upgraded(document, Format("a list", (dict, dict), 3), FILE)


def test_a_record_of_version_1_is_read_with_what_it_did_not_know_marked() -> None:
    old = json.loads(FIXTURE.read_text(encoding="utf-8"))
    assert old["schema_version"] == 1
    record = load_record(FIXTURE)
    assert record.schema_version == SCHEMA_VERSION == 2
    read = record.model_dump(mode="json")
    added = {key: read["provenance"].pop(key) for key in set(read["provenance"]) - set(old["provenance"])}
    unknown = dict.fromkeys(("code_sha256", "evaluation_manifest_sha256", "starts_from"))
    assert added == {"plugins": {}, "processes": 1, **unknown}
    for key in ("run_id", "seed", "provenance", "metrics", "kept_ratio", "column_open_ratio", "training"):
        assert read[key] == old[key]
    assert run_name(record.settings, record.seed) == old["run_id"]


def test_the_format_of_records_ends_at_the_version_that_is_written() -> None:
    assert RUN_RECORD.newest == SCHEMA_VERSION


def test_a_damaged_old_record_is_told_from_an_old_one(tmp_path: Path) -> None:
    old = json.loads(FIXTURE.read_text(encoding="utf-8"))
    for broken in ({**old, "provenance": None}, {key: value for key, value in old.items() if key != "provenance"}):
        (tmp_path / "run.json").write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(DataError, match=r"damaged: provenance: "):
            load_run(tmp_path)
    del old["provenance"]["argv"]
    (tmp_path / "run.json").write_text(json.dumps(old), encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged: provenance\.argv: "):
        load_run(tmp_path)
