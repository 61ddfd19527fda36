"""A table as JSON: every figure in full precision, the run ids, and the metrics of each run."""

import json
from typing import Any

from dit_bench.report.cells import Cell, ClaimResult, Table
from dit_bench.report.inputs import RunOrigin, RunSummary
from dit_bench.report.statistics import Interval

SCHEMA_VERSION = 2
"""Version of the tables that this dit-bench writes; `dit_bench.report.saved_table` reads older ones."""


def render_json(table: Table) -> str:
    """The table as a JSON document."""
    return json.dumps(table_document(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def table_document(table: Table) -> dict[str, Any]:
    """The table as plain data; missing figures are null, intervals are [low, high]."""
    return {
        "schema_version": SCHEMA_VERSION,
        "title": table.title,
        "caption": table.caption,
        "notes": list(table.notes),
        "profile": table.profile,
        "comparable": table.comparable,
        "command": table.command,
        "columns": [{"key": column.key, "heading": column.heading} for column in table.columns],
        "rows": [
            {"id": row.id, "cells": {column.key: _cell(row.cells[column.key]) for column in table.columns}}
            for row in table.rows
        ],
        "claims": [_claim(claim) for claim in table.claims],
        "runs": [
            {
                "run_id": run.run_id,
                "row": run.row_id,
                "seed": run.seed,
                "metrics": dict(run.metrics),
                "training": dict(run.training),
            }
            for run in table.runs
        ],
        "source": dict(table.source),
        "provenance": [_provenance(run, run.origin) for run in table.runs if run.origin is not None],
        "settings": {
            run.origin.settings_hash: dict(run.origin.settings) for run in table.runs if run.origin is not None
        },
    }


def _provenance(run: RunSummary, origin: RunOrigin) -> dict[str, Any]:
    """Once per run: what every cell that it stands behind is traced to."""
    known = {"run_id": run.run_id, "seed": run.seed, "settings_hash": origin.settings_hash}
    return {**known, "num_images": origin.num_images, **origin.provenance}


def _cell(cell: Cell) -> dict[str, Any]:
    document: dict[str, Any] = {"value": cell.value, "text": cell.text, "kind": cell.kind}
    if cell.n is not None:
        document |= {"n": cell.n, "sd": cell.sd, "interval": _interval(cell.interval)}
    return document


def _claim(claim: ClaimResult) -> dict[str, Any]:
    spec, comparison = claim.spec, claim.comparison
    document: dict[str, Any] = {
        "id": spec.id,
        "text": spec.text,
        "source": spec.source,
        "metric": spec.metric,
        "higher": spec.higher,
        "lower": spec.lower,
        "verdict": claim.verdict,
        "statement": claim.statement,
        "comparison": None,
    }
    if comparison:
        document["comparison"] = {
            "difference": comparison.mean,
            "sd": comparison.sd,
            "interval": _interval(comparison.interval),
            "p": comparison.p,
            "test": comparison.test,
            "n": comparison.n,
            "n_higher": comparison.n_a,
            "n_lower": comparison.n_b,
        }
    return document


def _interval(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None
