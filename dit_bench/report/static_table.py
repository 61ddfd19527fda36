"""What a table's models cost before any image is seen: printed parameters and MACs beside ours, with a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dit_bench.recipes.schema import Stage
from dit_bench.report.cells import Cell, Column, Section, Table, TableRow, missing
from dit_bench.report.inputs import GMACS, TableSpec, metric_by_seed, runs_by_row
from dit_bench.report.static_cells import Counted, pruned_static_cells, static_cells
from dit_bench.report.table import row_notes, table_source
from dit_bench.runs.provenance import code_version

PRUNED_PATHS_HEADING = "Pruned rows, GMACs (matrix products) as long as no token leaves:"
STAGE_KEYS = "P C R N E × blocks"


def with_static(
    table: Table,
    spec: TableSpec,
    printed_stages: Mapping[str, Sequence[Stage]],
    counts: Mapping[str, Counted],
    convention: str | None = None,
) -> Table:
    """`table` with the counted columns before its own.

    `convention` judges all rows by that one instead of the way in which each row's family was printed. Routed rows
    that have runs show the parameters that these used.
    """
    runs = runs_by_row(table.runs)
    rows = []
    for row in table.rows:
        given = next(entry for entry in spec.rows if entry.id == row.id)
        used_m = list(metric_by_seed(runs.get(row.id, []), "params_valid_m").values())
        stages, count = printed_stages.get(row.id, ()), counts[row.id]
        if spec.costs.pruned:
            cells = pruned_static_cells(given, count, convention)
        else:
            cells = static_cells(given, count, stages, convention, used_m)
        rows.append(TableRow(row.id, {**row.cells, **cells}))
    columns = static_columns(spec, rows, bool(printed_stages))
    rows = [TableRow(row.id, {**{column.key: missing() for column in columns}, **row.cells}) for row in rows]
    label = [column for column in table.columns if column.key == "label"]
    rest = [column for column in table.columns if column.key != "label"]
    notes = [*_convention_notes(spec, counts, convention), *table.notes]
    source = {**table.source, "counted": _counted_source(spec, counts, convention), "counted_by": code_version()}
    table = replace(table, source=source)
    counted = replace(table, columns=(*label, *columns, *rest), rows=tuple(rows), notes=tuple(notes))
    return replace(counted, paths_heading=PRUNED_PATHS_HEADING) if spec.costs.pruned else counted


def static_table(
    spec: TableSpec,
    printed_stages: Mapping[str, Sequence[Stage]],
    counts: Mapping[str, Counted],
    convention: str | None = None,
) -> Table:
    """The counted columns alone: neither data nor weights are needed."""
    sizes = sorted({f"{height}x{width}" for height, width in (count.image_size for count in counts.values())})
    bare = Table(
        title=spec.title,
        caption=f"{spec.title}: counted at {', '.join(sizes)} (profile {spec.profile}).",
        notes=tuple(row_notes(spec)),
        profile=spec.profile,
        comparable=spec.comparable,
        command=spec.command,
        columns=(Column("label", "", "Row", "static", 0),),
        rows=tuple(TableRow(row.id, {"label": Cell(row.label, row.label, "label")}) for row in spec.rows),
        claims=(),
        runs=(),
        source=table_source(spec),
    )
    return with_static(bare, spec, printed_stages, counts, convention)


def static_columns(spec: TableSpec, rows: Sequence[TableRow], architecture: bool) -> list[Column]:
    """Columns of the counted part; printed ones only where the setting is the paper's."""
    columns: list[Column] = []

    def add(key: str, group: str, name: str, priority: int, section: Section = "static") -> None:
        columns.append(Column(key, group, name, section, priority))

    params = spec.paper_headings.get("params_m", "")
    gmacs = spec.paper_headings.get(GMACS, "")
    prints_params, prints_gmacs = (spec.comparable and _prints(spec, key) for key in ("params_m", GMACS))
    if prints_params:
        add("static_printed_params_m", "Parameters (M)", f"paper ({params})" if params else "paper", 2)
    add("static_params_m", "Parameters (M)", "ours", 0)
    if prints_params:
        add("static_params_difference", "Parameters (M)", "difference", 4)
        add("static_params_verdict", "Parameters (M)", "verdict", 1)
    if prints_gmacs:
        add("static_printed_gmacs", "GMACs", f"paper ({gmacs})" if gmacs else "paper", 2)
        add("static_gmacs", "GMACs", "ours, as printed", 0)
        add("static_gmacs_difference", "GMACs", "difference", 4)
        add("static_gmacs_verdict", "GMACs", "verdict", 1)
        add("static_convention", "GMACs", "printed convention", 3)
    add("static_matmul_gmacs", "GMACs", "ours, matmul", 3 if prints_gmacs else 0)
    if architecture:
        stages = max(len([key for key in row.cells if key.startswith("stage_")]) for row in rows)
        for number in range(1, stages + 1):
            add(f"stage_{number}", f"Stage {number}", STAGE_KEYS, 2)
        add("stages_verdict", "Stages", "verdict", 1)
    paths = dict.fromkeys(key for row in rows for key in row.cells if key.startswith("path_"))
    for key in paths:
        add(key, "", key.removeprefix("path_"), 1, "paths")
    return columns


def _counted_source(spec: TableSpec, counts: Mapping[str, Counted], convention: str | None) -> dict[str, Any]:
    """Of each row: the size of the input and the convention that the cost was compared in."""
    return {
        row.id: {"image_size_px": list(counts[row.id].image_size), "convention": convention or row.convention}
        for row in spec.rows
    }


def _prints(spec: TableSpec, key: str) -> bool:
    return any(key in row.printed for row in spec.rows)


def _convention_notes(spec: TableSpec, counts: Mapping[str, Counted], convention: str | None) -> list[str]:
    notes = ["ours, matmul: convolutions, linear layers and attention products, one MAC each; nothing else."]
    if not spec.comparable:
        return notes
    used = {row.convention for row in spec.rows if GMACS in row.printed}
    if spec.costs.pruned:
        if convention is None:
            notes.append(
                "ours, as printed: as fvcore counts, matmul plus layer norms 5, batch norms 2 and bilinearly upsampled"
                " maps 4 per element."
            )
        notes.append("match: ours rounds to the print; within one unit: of the last printed digit.")
        if any(count.paths for count in counts.values()):
            notes.append("What pruned rows print, the mean cost over images, is judged from runs.")
        return notes
    if convention is None and used:
        notes.append(
            "ours, as printed: counted as the printed convention says. mmcv: its module hooks (convolutions with bias,"
            " linear layers, batch norms 2 and ReLU and pooling 1 per element) plus the attention products;"
            " mmcv-layernorm: layer norms 2 per element, too; fvcore: matmul plus batch norms 2 and layer norms 5 per"
            " element and global pooling."
        )
        if "conv-batchnorm" in used:
            notes.append("conv-batchnorm: convolutions, linear layers, and batch norms 2 per element; nothing else.")
        if any(name.endswith("-no-attention") for name in used):
            notes.append("no-attention: the same without the attention products, which some authors did not add.")
        if not spec.one_input_size:
            notes.append("Of necks and heads, mmcv's hooks see neither attention nor synchronised batch norms.")
    if any(row.params_convention == "trainable" for row in spec.rows):
        notes.append("Parameters of networks with frozen stages are those that are trained, as they are printed.")
    if any(row.params_convention == "layers" for row in spec.rows):
        notes.append("Parameters are those of convolutions, linear layers and batch norms where these alone fit.")
    notes.append(
        "match: ours rounds to the print (mmcv by way of its two decimals); within one unit: of the last printed digit."
    )
    if any(count.paths and count.path_as_printed is None for count in counts.values()):
        notes.append(
            "Routed rows print the cost and the parameters that images really used: they are judged from runs. Here"
            " stand the target of the budget and the parameters of the whole grid."
        )
    return notes
