"""What `dit-bench eval` does alike for detection and segmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dit_bench.cli.console import print_json, print_table, say

if TYPE_CHECKING:
    from dit_bench.data.loading import Split
    from dit_bench.engine.context import JobContext
    from dit_bench.engine.dense_scoring import ScoredDense
    from dit_bench.engine.trained import TrainedWeights
    from dit_bench.recipes.resolve import ResolvedRow


@dataclass(frozen=True)
class Shown:
    """A result as it is printed."""

    figures: list[tuple[str, str]]
    class_headings: tuple[str, ...]
    class_cells: list[tuple[str, ...]]
    document: dict[str, Any]
    """All of it for programs."""


def score_rows(
    rows: Sequence[ResolvedRow], context: JobContext, checkpoint: Path | None, split: Split | None
) -> list[tuple[TrainedWeights, ScoredDense]]:
    """Evaluate the weights of all rows and seeds, or those of the named file."""
    from dit_bench.engine.dense_scoring import score_dense
    from dit_bench.engine.trained import trained_weights

    return [
        (weights, score_dense(settings, weights.path, split or settings.data.eval_split, context))
        for weights in trained_weights(rows, context.store, checkpoint)
        for settings in (weights.row.settings,)
    ]


def show_results(
    results: Sequence[tuple[TrainedWeights, ScoredDense]],
    shown: Callable[[str, ScoredDense], Shown],
    per_class: bool,
    as_json: bool,
) -> None:
    """Print what was found, as tables or as JSON; `shown` is given title and result."""
    documents = []
    for weights, result in results:
        title = weights.title(result.split)
        found = shown(title, result)
        if as_json:
            named = {"row": weights.row.row.id, "seed": weights.seed, "weights": str(weights.path)}
            documents.append({**named, **found.document})
            continue
        say(f"evaluated {result.dataset.summary}")
        # A pipe shows no titles, so each line says what it belongs to.
        print_table(title, ("row", "figure", "value"), [(weights.name, *figure) for figure in found.figures])
        if per_class:
            cells = [(weights.name, *cell) for cell in found.class_cells]
            print_table(f"{title}, class by class", ("row", *found.class_headings), cells)
    if as_json:
        print_json(documents)
