"""From resolved recipe rows and finished runs to what tables and figures are made of."""

from __future__ import annotations

from collections.abc import Sequence

from dit_bench.recipes.load import LoadedRecipe
from dit_bench.recipes.resolve import ResolvedRow
from dit_bench.recipes.schema import Printed
from dit_bench.report.inputs import ClaimSpec, RowSpec, RunSummary, TableSpec
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore

# Paths through the grid that no gate decides: their MACs follow from the architecture.
FIXED_COST_VARIANTS = frozenset({"fully", "diagonal", "cheapest", "static", "random", "attention"})


def table_spec(loaded: LoadedRecipe, rows: Sequence[ResolvedRow], command: str) -> TableSpec:
    """The table of a recipe under the profile of its resolved rows; rows that were not asked for keep their line."""
    recipe, profile = loaded.recipe, rows[0].profile
    fixed = {row.row.id for row in rows if row.settings.routing.variant in FIXED_COST_VARIANTS}
    headings = recipe.paper.metric_headings
    return TableSpec(
        title=recipe.title,
        paper_headings={key: value for key, value in headings.model_dump().items() if value is not None},
        rows=[RowSpec(row.id, row.label, _printed(row.printed), row.note or "") for row in recipe.rows],
        reference_row=recipe.reference_row,
        base_label=recipe.base.label if recipe.base else "PVTv2",
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
        ],
        profile=profile,
        comparable=profile == "paper",
        command=command,
        base_row=recipe.base.row if recipe.base else None,
    )


def _printed(printed: Printed) -> dict[str, float]:
    return {key: value for key, value in printed.model_dump().items() if value is not None}


def summaries(rows: Sequence[ResolvedRow], store: RunStore) -> list[RunSummary]:
    """Summaries of all finished runs of the rows, seed by seed."""
    found = []
    for row in rows:
        for seed in row.seeds:
            run = store.find(row.settings, seed)
            if run is not None:
                found.append(summary(row, run))
    return found


def summary(row: ResolvedRow, run: FinishedRun) -> RunSummary:
    """One finished run as a table's row sees it."""
    record = run.record
    return RunSummary(row.row.id, record.seed, record.run_id, record.metrics, record.training)
