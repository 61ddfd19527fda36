"""From resolved recipe rows and finished runs to what tables and figures are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from dit_bench.recipes.counting_size import counting_size
from dit_bench.recipes.identity import canonical_json, hash10
from dit_bench.recipes.lineage import is_plain_vit
from dit_bench.recipes.load import LoadedRecipe
from dit_bench.recipes.printed import printed_top1
from dit_bench.recipes.resolve import ResolvedRow, resolve_rows
from dit_bench.recipes.schema import Recipe, Row, Stage
from dit_bench.report.cells import Table
from dit_bench.report.inputs import PRUNED_COSTS, ROUTED_COSTS, ClaimSpec, RowSpec, RunOrigin, RunSummary, TableSpec
from dit_bench.report.printed_accuracy import VAL_IMAGES, changed_settings
from dit_bench.report.qualities import further_qualities, main_quality
from dit_bench.report.static_cells import Counted
from dit_bench.report.static_table import static_table
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore

# Paths through the grid that no gate decides: their MACs follow from the architecture.
FIXED_COST_VARIANTS = frozenset({"fully", "diagonal", "cheapest", "static", "random", "attention"})


def table_spec(loaded: LoadedRecipe, rows: Sequence[ResolvedRow], command: str) -> TableSpec:
    """The table of a recipe under the profile of its resolved rows; rows that were not asked for keep their line.

    Rows that the profile does not have are named in a note.
    """
    recipe, profile = loaded.recipe, rows[0].profile
    listed = recipe.rows_of(profile)
    ids = {row.id for row in listed}
    fixed = {row.row.id for row in rows if row.settings.routing.variant in FIXED_COST_VARIANTS}
    headings = recipe.paper.metric_headings
    printed = {key for row in recipe.rows for key in _printed(row)}
    costs = PRUNED_COSTS if all(is_plain_vit(row.settings) for row in rows) else ROUTED_COSTS
    quality = main_quality(printed, rows[0].settings.task)
    return TableSpec(
        title=recipe.title,
        paper_headings={key: value for key, value in headings.model_dump().items() if value is not None},
        rows=[_row_spec(row, recipe, ids) for row in _named_after_models(rows, listed)],
        reference_row=recipe.reference_row,
        base_label=recipe.base.label if recipe.base else costs.base_name,
        base_printed_gmacs=recipe.base.printed_gmacs if recipe.base else None,
        claims=[
            ClaimSpec(
                claim.id,
                claim.higher,
                claim.lower,
                claim.metric,
                claim.text,
                claim.source,
                deterministic=claim.metric.startswith("gmacs") and {claim.higher, claim.lower} <= fixed,
            )
            for claim in recipe.claims
            if {claim.higher, claim.lower} <= ids
        ],
        profile=profile,
        comparable=profile == "paper" and not any(map(changed_settings, rows)),
        command=command,
        base_row=recipe.base.row if recipe.base else None,
        quality=quality,
        further=further_qualities(printed, quality),
        costs=costs,
        # Plain ViTs are tested in windows of the size that is counted at.
        one_input_size=costs.pruned or all(entry.counted_at_px is None for entry in (recipe, *recipe.rows)),
        extra_notes=[*recipe.notes, *_accuracy_notes(recipe), *_profile_notes(recipe, profile)],
        printed_in={
            "recipe": loaded.name,
            "paper": recipe.paper.key,
            "table": recipe.paper.table,
            "figure": recipe.paper.figure,
            "section": recipe.paper.section,
        },
    )


def counted_table(counts: Sequence[tuple[ResolvedRow, Counted]], convention: str | None = None) -> Table:
    """The table of rows that were only counted, maybe at other input sizes than their own.

    `convention` compares all rows with the print by that one. What a paper prints stands beside the count at the
    row's own input size and nowhere else.
    """
    rows = list({row.row.id: row for row, _ in counts}.values())
    loaded, own = rows[0].recipe, all(_at_own_size(row, count) for row, count in counts)
    spec = table_spec(loaded, rows, f"dit-bench flops {loaded.name} --profile {rows[0].profile}")
    given = {row.id: row for row in spec.rows}
    sizes = {count.image_size for _, count in counts}
    listed, by_row = [], {}
    for row, count in counts:
        entry = given[row.row.id]
        if not own:
            height, width = count.image_size
            size = f"{height}x{width}"
            entry = replace(entry, id=f"{entry.id}@{size}", reference=None, note="")
            entry = replace(entry, label=f"{entry.label}, {size}") if len(sizes) > 1 else entry
        listed.append(entry)
        by_row[entry.id] = count
    if not own:
        asked = " ".join(f"--image-size {height}x{width}" for height, width in sorted(sizes))
        spec = replace(spec, comparable=False, command=f"{spec.command} {asked}")
    notes = [*loaded.recipe.notes, *_profile_notes(loaded.recipe, rows[0].profile)]
    spec = replace(spec, rows=listed, claims=[], reference_row=None, base_row=None, extra_notes=notes)
    return static_table(spec, printed_stages(loaded) if own else {}, by_row, convention)


def printed_stages(loaded: LoadedRecipe) -> dict[str, list[Stage]]:
    """The architectures that a recipe prints, by row."""
    return {row.id: row.architecture for row in loaded.recipe.rows if row.architecture is not None}


def _at_own_size(row: ResolvedRow, count: Counted) -> bool:
    return count.image_size == counting_size(row)


def _named_after_models(rows: Sequence[ResolvedRow], listed: Sequence[Row]) -> list[Row]:
    """Rows that stand for published models say which small one they are, where a table is of several models.

    A table with one reference row is of variants of one model, which say so themselves.
    """
    models = {row.row.id: row.settings.model.name for row in resolve_rows(rows[0].recipe, [], rows[0].profile)}
    if rows[0].profile == "paper" or rows[0].recipe.recipe.reference_row is not None or len(set(models.values())) == 1:
        return list(listed)
    return [row.model_copy(update={"label": f"{row.label}: {models[row.id]}"}) for row in listed]


def _row_spec(row: Row, recipe: Recipe, listed: set[str]) -> RowSpec:
    reference = row.reference if row.reference in listed else None
    return RowSpec(
        row.id,
        row.label,
        _printed(row),
        row.note or "",
        reference=reference,
        base_printed_gmacs=recipe.row(reference).printed.gmacs if reference else None,
        convention=row.convention,
        params_convention=row.params_convention,
        unavailable=row.not_implemented or row.not_run or "",
    )


def _printed(row: Row) -> dict[str, float]:
    """What the paper prints of a row, error rates as accuracies."""
    printed = {key: value for key, value in row.printed.model_dump().items() if value is not None}
    printed.pop("top1_error_percent", None)
    accuracy = printed_top1(row.printed)
    return printed if accuracy is None else {**printed, "top1_percent": accuracy}


def _accuracy_notes(recipe: Recipe) -> list[str]:
    if all(row.printed.top1_error_percent is None for row in recipe.rows):
        return []
    heading = recipe.paper.metric_headings.top1_percent
    return [f'The printed column "{heading}" holds top-1 error rates; shown here is the accuracy, 100 − error.']


def _profile_notes(recipe: Recipe, profile: str) -> list[str]:
    others = [row.label for row in recipe.rows if not row.belongs_to(profile)]
    return [f"Rows that profile {profile} does not have: {'; '.join(others)}."] if others else []


def summaries(rows: Sequence[ResolvedRow], store: RunStore) -> list[RunSummary]:
    """Summaries of all finished runs of the rows, seed by seed."""
    found = []
    for row in rows:
        for seed in row.seeds:
            run = store.find(row.settings, seed)
            if run is not None:
                found.append(summary(row, run))
    return found


def on_other_images(rows: Sequence[ResolvedRow], store: RunStore) -> bool:
    """Whether a finished run of the rows was evaluated on another number of images than the papers use."""
    runs = [(row, store.find(row.settings, seed)) for row in rows for seed in row.seeds]
    return any(run is not None and run.record.num_images != VAL_IMAGES[row.settings.task] for row, run in runs)


def summary(row: ResolvedRow, run: FinishedRun) -> RunSummary:
    """One finished run as a table's row sees it."""
    record = run.record
    origin = RunOrigin(
        hash10(record.settings),
        json.loads(canonical_json(record.settings)),
        record.provenance.model_dump(mode="json"),
        record.num_images,
    )
    return RunSummary(row.row.id, record.seed, record.run_id, record.metrics, record.training, origin)
