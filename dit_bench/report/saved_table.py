"""Reading tables and benchmarks that were written as JSON, those of older versions too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.suggest import did_you_mean
from dit_bench.runs.upgrade import Document, Format, upgraded

_TABLE_KEYS = ("title", "command", "columns", "rows", "runs")
_BENCH_KEYS = ("provenance", "comparisons", "counting")
_OTHER_KINDS = {
    "figure": "the data of a figure",
    "settings": "the record of a run",
    "recipe": "what a verb printed with --json",
}
"""What a JSON file is that has such a key and is no table."""


def _table_1_to_2(table: Document) -> Document:
    """Version 1 named the runs behind its cells, but not what they came from."""
    return {**table, "source": None, "provenance": None, "settings": None}


SAVED_TABLE = Format("a table that ablate or flops wrote with --out", (_table_1_to_2,))
"""In version 1 `source`, `provenance` and `settings` are unknown: null."""
BENCH_RESULT = Format("a benchmark's result")
SavedKind = Literal["table", "bench"]


def read_saved(path: Path) -> tuple[SavedKind, dict[str, Any]]:
    """What `ablate`, `flops` or `bench` wrote, in its newest version: a table or a benchmark's result.

    Raises UsageError for a file of another kind, DataError for one that is missing, damaged or newer.
    """
    document = _read_json(path)
    keys = document if isinstance(document, dict) else {}
    if all(key in keys for key in _TABLE_KEYS):
        return "table", upgraded(keys, SAVED_TABLE, path)
    if all(key in keys for key in _BENCH_KEYS):
        return "bench", upgraded(keys, BENCH_RESULT, path)
    kind = next((name for key, name in _OTHER_KINDS.items() if key in keys), "another JSON file")
    raise UsageError(f"{path}: {kind}, not a saved table", remedy=f"name {SAVED_TABLE.name}")


def read_table(path: Path) -> dict[str, Any]:
    """The document of a saved table in its newest version, see `dit_bench.report.render_json.table_document`.

    Raises UsageError for a file of another kind, DataError for one that is missing, damaged or newer.
    """
    kind, document = read_saved(path)
    if kind == "bench":
        raise UsageError(f"{path}: {BENCH_RESULT.name}, which has no rows", remedy=f"name {SAVED_TABLE.name}")
    return document


def _read_json(path: Path) -> Any:
    if path.suffix.lower() != ".json":
        beside = path.with_suffix(".json")
        remedy = f"name {beside}" if beside.is_file() else "write it as JSON too: --out TABLE.json"
        raise UsageError(f"{path}: only a table's JSON knows what stands behind its cells", remedy=remedy)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        siblings = [file.name for file in path.parent.glob("*.json")]
        raise DataError(
            f"{path}: no such file", remedy=did_you_mean(path.name, siblings) or "name a table's JSON"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise DataError(f"{path}: damaged: not valid JSON", remedy="write the table again") from None
