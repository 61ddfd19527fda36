"""One cell of a saved table, traced: its figure, the arithmetic, the runs or the count behind it, the print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.identity import hash10
from dit_bench.recipes.suggest import nearest
from dit_bench.report.cell_origins import MATMUL, CellOrigin, SavedRuns, agrees, measured_origin
from dit_bench.report.inputs import RunSummary
from dit_bench.report.numbers import MISSING
from dit_bench.report.run_view import code_text
from dit_bench.runs.compare import same_figures
from dit_bench.runs.read import load_record

CELL_HEADINGS = ("section", "key", "value")
TABLE_HEADINGS = ("row", "column", "cell", "kind")
NOT_STORED = "not in this table, which was written before tables carried provenance"


def table_lines(document: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Row, column, text and kind of every cell that has something in it, as `--cell` takes them."""
    return [
        (row["id"], key, cell["text"], cell["kind"])
        for row in document["rows"]
        for key, cell in row["cells"].items()
        if cell["kind"] not in ("missing", "label")
    ]


def find_cell(document: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Row id and column key of `ROW/COLUMN`, given as they are in the file or as the table shows them.

    Raises UsageError with the nearest names.
    """
    row_name, slash, column_name = name.partition("/")
    if not slash:
        first = document["rows"][0]["id"] if document["rows"] else "ROW"
        raise UsageError(
            f"--cell {name}: expected ROW/COLUMN", remedy=f"as in {first}/{document['columns'][-1]['key']}"
        )
    rows = {row["id"]: row["id"] for row in document["rows"]}
    rows |= {row["cells"]["label"]["text"]: row["id"] for row in document["rows"] if "label" in row["cells"]}
    columns = {column["key"]: column["key"] for column in document["columns"]}
    columns |= {column["heading"]: column["key"] for column in document["columns"]}
    return _one("row", row_name, rows), _one("column", column_name, columns)


def cell_document(document: Mapping[str, Any], row_id: str, key: str, results: Path) -> dict[str, Any]:
    """The trace of one cell as plain data; `results` is looked through for runs of which the table knows too little."""
    row = next(row for row in document["rows"] if row["id"] == row_id)
    cell = row["cells"][key]
    saved = SavedRuns.of(document)
    origin = _origin(document, saved, row, key)
    stored = {entry["run_id"]: entry for entry in document["provenance"] or ()}
    source = document["source"] or {}
    return {
        "title": document["title"],
        "row": row_id,
        "row_label": row["cells"]["label"]["text"],
        "column": key,
        "heading": next(column["heading"] for column in document["columns"] if column["key"] == key),
        **{name: cell.get(name) for name in ("value", "text", "kind", "n", "sd", "interval")},
        "how": origin.how,
        "guessed": origin.guessed,
        "metric": origin.metric,
        "convention": origin.convention,
        "values": [{"run_id": run_id, "value": value} for run_id, value in origin.values],
        "recomputed": origin.recomputed,
        "agrees": agrees(origin.recomputed, cell["value"]),
        "profile": document["profile"],
        "command": document["command"],
        "printed_in": {name: source.get(name) for name in ("recipe", "paper", "table", "figure", "section")},
        "counted_by": source.get("counted_by") if _is_counted(key) else None,
        "runs": [_run(run, stored.get(run.run_id), results) for run in origin.runs],
    }


def cell_lines(traced: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The trace for people."""
    lines = [
        ("cell", "table", traced["title"]),
        ("cell", "row", f"{traced['row_label']} ({traced['row']})"),
        ("cell", "column", f"{traced['heading']} ({traced['column']})"),
        ("cell", "shown", traced["text"]),
        ("cell", "value", MISSING if traced["value"] is None else str(traced["value"])),
        ("cell", "kind", traced["kind"]),
        ("origin", "how", traced["how"]),
    ]
    for key in ("guessed", "metric", "convention"):
        if traced[key] is not None:
            lines.append(("origin", key, traced[key]))
    for entry in traced["values"]:
        lines.append(("origin", entry["run_id"], f"{entry['value']:.10g}"))
    if traced["agrees"] is not None:
        said = "the same figure" if traced["agrees"] else f"ANOTHER figure, {traced['recomputed']:.10g}"
        lines.append(("origin", "computed again from these", said))
    lines += [("print", *line) for line in _print_lines(traced)]
    lines.append(("table", "command", f"{traced['command']} (profile {traced['profile']})"))
    if traced["counted_by"] is not None:
        lines.append(("table", "counted by", code_text(traced["counted_by"])))
    for run in traced["runs"]:
        lines += [(run["run_id"], *line) for line in _run_lines(run)]
    return lines


def _one(what: str, name: str, known: Mapping[str, str]) -> str:
    if name in known:
        return known[name]
    folded = {key.casefold(): value for key, value in known.items()}
    if name.casefold() in folded:
        return folded[name.casefold()]
    keys = list(dict.fromkeys(known.values()))
    near = (nearest(name, keys) or nearest(name, known)) if name else []
    remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else f"the {what}s are {', '.join(keys)}"
    raise UsageError(f"--cell: no {what} '{name}' in this table", remedy=remedy)


def _is_counted(key: str) -> bool:
    return key.startswith(("static_", "path_", "stage_")) or key == "stages_verdict"


def _origin(document: Mapping[str, Any], saved: SavedRuns, row: Mapping[str, Any], key: str) -> CellOrigin:
    cell, row_id = row["cells"][key], row["id"]
    runs = saved.by_row.get(row_id, [])
    if key == "runs":
        return CellOrigin("the runs of this row, one per seed", runs=runs)
    if cell["kind"] == "label":
        return CellOrigin("a name", runs=runs if key == "label" else ())
    if cell["kind"] == "missing":
        return CellOrigin("nothing: not printed, not measured, or without meaning for this row")
    if cell["kind"] == "printed":
        return CellOrigin("as the paper prints it, to its last digit")
    if _is_counted(key):
        return _counted(document, row, key, runs)
    if cell["kind"] == "derived":
        return CellOrigin(_derived(document, row_id, key))
    if cell["kind"] == "verdict":
        return _verdict(saved, document, row_id, key)
    found = measured_origin(saved, row_id, key, cell["value"])
    return found or CellOrigin("measured by the runs of this row", runs=runs)


def _derived(document: Mapping[str, Any], row_id: str, key: str) -> str:
    """What was computed from which printed figures."""
    source = document["source"] or {}
    what = "computed from printed figures: the paper does not print it"
    if key == "printed_ratio":
        return f"{what}; the printed cost of the row over that of the base"
    reference = source.get("references", {}).get(row_id)
    if key.endswith("printed_difference") and reference is not None:
        return f"{what}; the printed figure of the row minus that of row {reference}"
    return what


def _counted(document: Mapping[str, Any], row: Mapping[str, Any], key: str, runs: list[RunSummary]) -> CellOrigin:
    """What is counted without data; parameters that a routed row's images used come from its runs."""
    source = (document["source"] or {}).get("counted", {}).get(row["id"], {})
    size = source.get("image_size_px")
    at = f" at {size[0]}x{size[1]}" if size else ": the caption names the input size"
    label = row["cells"].get("static_convention", {}).get("value")
    convention = None
    if "gmacs" in key:
        convention = MATMUL if "matmul" in key else source.get("convention") or label
    elif key.startswith("path_"):
        convention = MATMUL
    if key == "static_params_m" and runs and row["cells"][key]["kind"] == "measured":
        values = [(run.run_id, run.metrics["params_valid_m"]) for run in runs if "params_valid_m" in run.metrics]
        if values and abs(sum(value for _, value in values) / len(values) - row["cells"][key]["value"]) < 1e-9:
            how = f"mean over n = {len(values)} runs of the parameters that some image used"
            return CellOrigin(how, "params_valid_m", values, row["cells"][key]["value"], runs)
    how = f"counted in closed form, without data or weights{at}; the same command gives it anywhere"
    if key.endswith("_verdict"):
        how = f"ours beside the print: match, within one unit of its last digit, or differs; ours is {how}"
    elif key.endswith("_difference"):
        how = f"ours minus the print; ours is {how}"
    elif row["cells"][key]["kind"] == "derived":
        how = f"a bound or target, no cost of any image; {how}"
    return CellOrigin(how, convention=convention)


def _verdict(saved: SavedRuns, document: Mapping[str, Any], row_id: str, key: str) -> CellOrigin:
    """What a verdict compares: the cell of ours that it stands beside."""
    judged = {"macs_verdict": ("gmacs", "ratio"), "verdict": ("quality", "difference")}
    prefix = key.removesuffix("verdict")
    absolute, relative = judged.get(key, (f"{prefix}ours", f"{prefix}difference"))
    column = absolute if document["comparable"] else relative
    cells = next(row["cells"] for row in document["rows"] if row["id"] == row_id)
    how = f"column {column} beside the print: match, within noise (95 % interval over seeds) or differs"
    if column not in cells:
        return CellOrigin(how, runs=saved.by_row.get(row_id, []))
    found = measured_origin(saved, row_id, column, cells[column]["value"])
    return CellOrigin(how) if found is None else CellOrigin(how, found.metric, found.values, None, found.runs)


def _run(run: RunSummary, stored: Mapping[str, Any] | None, results: Path) -> dict[str, Any]:
    """A run with all that is known of where it comes from, and from where that is known."""
    known: dict[str, Any] = {
        "run_id": run.run_id,
        "seed": run.seed,
        "known_from": None,
        "folder": None,
        "figures": None,
    }
    if stored is not None:
        return {**known, "known_from": "table", **stored}
    try:
        record = load_record(results / run.run_id)
    except DataError:
        return known
    known["folder"] = str(results / run.run_id)
    if not same_figures(run.metrics, record.metrics):
        return {**known, "figures": "other"}
    known |= {
        "known_from": "folder",
        "figures": "same" if record.metrics == dict(run.metrics) else "same but for times",
    }
    made = record.provenance.model_dump(mode="json")
    return {**known, "settings_hash": hash10(record.settings), "num_images": record.num_images, **made}


def _print_lines(traced: Mapping[str, Any]) -> list[tuple[str, str]]:
    if traced["kind"] not in ("printed", "derived", "verdict"):
        return []
    where = traced["printed_in"]
    if where["paper"] is None:
        return [("stands in", f"{traced['title']}, row {traced['row_label']}")]
    place = next((f"{kind.capitalize()} {where[kind]}" for kind in ("table", "figure") if where[kind]), "text")
    words = f"{where['paper']}, {place}, §{where['section']}, row {traced['row_label']}"
    return [("stands in", words), ("recipe", f"{where['recipe']}, row {traced['row']}")]


def _run_lines(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    if run["known_from"] is None:
        lines = [("provenance", NOT_STORED)]
        if run["figures"] is not None:
            lines.append(("note", f"{run['folder']} is another run: its figures are not those of the table"))
        return lines
    source = "this table"
    if run["known_from"] == "folder":
        repeat = "" if run["figures"] == "same" else ", a repeat: the same figures but for times"
        source = f"{run['folder']}{repeat}; {NOT_STORED}"
    machine = ", ".join(str(part) for part in (run["processor"], run["accelerator"], run["platform"]) if part)
    return [
        ("known from", source),
        ("settings", f"{run['settings_hash']}, seed {run['seed']}"),
        ("code", code_text(run)),
        ("weights SHA-256", run["weights_sha256"] or MISSING),
        ("data manifest SHA-256", run["data_manifest_sha256"] or MISSING),
        ("images evaluated", str(run["num_images"])),
        ("machine", machine),
        ("packages", ", ".join(f"{name} {version}" for name, version in run["packages"].items())),
        ("created", run["created_utc"]),
        ("command", " ".join(run["argv"])),
    ]
