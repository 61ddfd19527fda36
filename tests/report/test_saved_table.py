from __future__ import annotations

import json
from pathlib import Path

import pytest

from dit_bench.errors import BenchError, DataError, UsageError
from dit_bench.report.inputs import RunSummary, TableSpec
from dit_bench.report.render_json import SCHEMA_VERSION
from dit_bench.report.save_table import save_table
from dit_bench.report.saved_table import SAVED_TABLE, read_table
from dit_bench.report.table import build_table

VERSION_1 = Path(__file__).parent / "fixtures" / "table-version-1.json"
"""Part of a table as dit-bench wrote it when it only knew version 1."""


@pytest.fixture
def saved(tmp_path: Path, spec: TableSpec, runs: list[RunSummary]) -> Path:
    return save_table(build_table(spec, runs), tmp_path / "table.json")


def test_a_table_is_read_as_it_was_written(saved: Path) -> None:
    assert read_table(saved) == json.loads(saved.read_text(encoding="utf-8"))
    assert SAVED_TABLE.newest == SCHEMA_VERSION == 2


def test_a_table_of_version_1_knows_no_provenance() -> None:
    old = json.loads(VERSION_1.read_text(encoding="utf-8"))
    assert old["schema_version"] == 1
    read = read_table(VERSION_1)
    assert {key: read.pop(key) for key in ("source", "provenance", "settings")} == dict.fromkeys(
        ("source", "provenance", "settings")
    )
    assert read == {**old, "schema_version": 2}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", DataError, r"damaged: not valid JSON"),
        ("[]", UsageError, r"another JSON file, not a saved table"),
        (
            '{"schema_version": 1, "provenance": {}, "comparisons": [], "counting": []}',
            UsageError,
            r"a benchmark's result, which has no rows — name a table that ablate or",
        ),
        ('{"figure": "growth"}', UsageError, r"the data of a figure, not a saved table"),
        ('{"settings": {}, "seed": 0}', UsageError, r"the record of a run, not a saved table"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, content: str, error: type[BenchError], message: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(error, match=rf"other\.json: {message}"):
        read_table(file)


def test_a_newer_table_is_refused(saved: Path) -> None:
    document = json.loads(saved.read_text(encoding="utf-8")) | {"schema_version": 3}
    saved.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(DataError, match=r"written by a newer dit-bench \(schema_version 3, this one reads up to 2\)"):
        read_table(saved)


def test_other_formats_and_misspelt_files(saved: Path) -> None:
    with pytest.raises(UsageError, match=r"table\.md: only a table's JSON knows .* — name .*table\.json"):
        read_table(saved.with_suffix(".md"))
    with pytest.raises(UsageError, match=r"other\.csv: only a table's JSON .* — write it as JSON too"):
        read_table(saved.with_name("other.csv"))
    with pytest.raises(DataError, match=r"tabel\.json: no such file — did you mean 'table\.json'\?"):
        read_table(saved.with_name("tabel.json"))
    (saved.parent / "folder.json").mkdir()
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        read_table(saved.parent / "folder.json")
