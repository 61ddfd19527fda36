"""Parameters and MACs of rows, counted from the code as it is now, as a baseline keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from dit_bench.engine.counting import row_costs
from dit_bench.engine.static_costs import StaticCosts
from dit_bench.recipes.resolve import ResolvedRow
from dit_bench.runs.baseline import CountedRow


def counted_rows(rows: Sequence[ResolvedRow]) -> dict[str, CountedRow]:
    """What each row costs before any image is seen, by the row's id; nothing is read from earlier counts."""
    return {row.row.id: counted_row(row_costs(row)) for row in rows}


def counted_row(costs: StaticCosts) -> CountedRow:
    """All integers of one row by name."""
    params = {
        "params_total": costs.params_total,
        "params_trainable": costs.params_trainable,
        "params_layers": costs.params_layers,
        "target_macs": costs.target_macs,
    }
    figures = {name: value for name, value in params.items() if value is not None}
    figures |= {f"macs.{name}": macs for name, macs in costs.macs.items()}
    figures |= {f"path.{name}": macs for name, macs in costs.paths.items()}
    return CountedRow(image_size_px=list(costs.image_size), figures=figures, problem=costs.problem)
