"""One model's cost for people and programs: by convention, by kind of layer, and by every counter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dit_bench.report.files import written_aside
from dit_bench.report.module_tree import GIGA, MEGA, Node, module_tree_csv, module_tree_json

MODULE_SUFFIXES = (".csv", ".json")
AUDIT_HEADINGS = ("counter", "GMACs", "difference", "reason")


class AuditLine(Protocol):
    """One counter's figure beside ours."""

    @property
    def counter(self) -> str:
        """Name of the counter."""
        ...

    @property
    def version(self) -> str | None:
        """Version of its package."""
        ...

    @property
    def macs(self) -> int | None:
        """What it counted; None if it could not."""
        ...

    @property
    def difference(self) -> int | None:
        """Its figure minus ours."""
        ...

    @property
    def explanation(self) -> str:
        """Where the difference comes from, and what of it is unexplained."""
        ...


class PrintedRow(Protocol):
    """A row of a recipe that prints the cost of the model."""

    @property
    def recipe(self) -> str:
        """Short name of the recipe."""
        ...

    @property
    def row_id(self) -> str:
        """Id of the row."""
        ...

    @property
    def gmacs(self) -> float:
        """The printed figure."""
        ...

    @property
    def convention(self) -> str:
        """How it was counted."""
        ...


class Counted(Protocol):
    """One model, counted for one image."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def params(self) -> int:
        """Number of parameters."""
        ...

    @property
    def macs(self) -> Mapping[str, int]:
        """MACs by convention."""
        ...

    @property
    def descriptions(self) -> Mapping[str, str]:
        """What each convention counts."""
        ...

    @property
    def by_kind(self) -> Mapping[str, int]:
        """MACs of matrix products by kind of layer."""
        ...

    @property
    def closed_form_macs(self) -> int:
        """What our formulas give."""
        ...

    @property
    def dispatched_macs(self) -> int:
        """What torch dispatched."""
        ...

    @property
    def paths(self) -> Mapping[str, int]:
        """MACs of the fixed paths of a routed model; else empty."""
        ...

    @property
    def printed(self) -> Sequence[PrintedRow]:
        """Where papers print its cost."""
        ...

    def tree(self, depth: int | None = None) -> Node:
        """The modules with rolled-up totals."""
        ...


def summary_cells(count: Counted, convention: str) -> list[tuple[str, str, str]]:
    """Figure, value and meaning: parameters, GMACs by convention, what papers print, the closed form's audit.

    `convention` "matmul" leaves the others out.
    """
    lines = [("parameters (M)", f"{count.params / MEGA:.3f}", "all of them, shared ones once")]
    for name, macs in count.macs.items():
        if name == "matmul" or convention != "matmul":
            lines.append((f"GMACs, {name}", f"{macs / GIGA:.4f}", count.descriptions[name]))
    if convention != "matmul":
        for row in count.printed:
            where = f"row {row.row_id} of {row.recipe}, counted as {row.convention}"
            lines.append(("GMACs, printed", f"{row.gmacs}", where))
    lines += [
        (f"GMACs, {path}", f"{macs / GIGA:.4f}", "closed form of a fixed path") for path, macs in count.paths.items()
    ]
    return [*lines, _closed_form_line(count)]


def _closed_form_line(count: Counted) -> tuple[str, str, str]:
    missing = count.dispatched_macs - count.closed_form_macs
    said = "equal to what torch dispatched, to the integer"
    if missing:
        said = f"torch dispatched {missing:,} more, in layers without a formula of ours"
    return "MACs by closed form", f"{count.closed_form_macs:,}", said


def kind_cells(count: Counted) -> list[tuple[str, str, str]]:
    """Kind of layer, GMACs and share."""
    total = sum(count.by_kind.values())
    return [
        (kind, f"{macs / GIGA:.4f}", f"{100 * macs / total:.1f} %" if total else "—")
        for kind, macs in count.by_kind.items()
        if macs
    ]


def model_json(count: Counted, depth: int | None = None) -> dict[str, Any]:
    """Everything at full precision, in MACs."""
    return {
        "model": count.name,
        "image_size_px": list(count.image_size),
        "params": count.params,
        "macs": dict(count.macs),
        "conventions": dict(count.descriptions),
        "macs_by_kind": dict(count.by_kind),
        "closed_form_macs": count.closed_form_macs,
        "dispatched_macs": count.dispatched_macs,
        "paths_macs": dict(count.paths),
        "printed": [
            {"recipe": row.recipe, "row": row.row_id, "gmacs": row.gmacs, "convention": row.convention}
            for row in count.printed
        ],
        "modules": module_tree_json(count.tree(depth)),
    }


def save_modules(count: Counted, path: Path, *, force: bool = False) -> Path:
    """Write all modules of a model as CSV or JSON and return `path`; an existing file is replaced only with `force`."""
    with written_aside(path, MODULE_SUFFIXES, force=force) as aside:
        if path.suffix.lower() == ".csv":
            text = module_tree_csv(count.tree())
        else:
            text = json.dumps(model_json(count), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        aside.write_text(text, encoding="utf-8")
    return path


def audit_cells(lines: Sequence[AuditLine]) -> list[tuple[str, str, str, str]]:
    """Counter, GMACs, difference to ours and its reason."""
    return [
        (
            f"{line.counter} ({line.version})" if line.version else line.counter,
            "—" if line.macs is None else f"{line.macs / GIGA:.5g}",
            "—" if line.difference is None else f"{line.difference / GIGA:+.3g}".replace("-", "−"),
            line.explanation or "—",
        )
        for line in lines
    ]


def audit_json(lines: Sequence[AuditLine]) -> list[dict[str, Any]]:
    """The same as data, in MACs."""
    return [
        {
            "counter": line.counter,
            "version": line.version,
            "macs": line.macs,
            "difference": line.difference,
            "explanation": line.explanation,
        }
        for line in lines
    ]
