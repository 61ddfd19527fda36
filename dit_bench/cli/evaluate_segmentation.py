"""`dit-bench eval` of recipes whose task is segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dit_bench.cli.console import print_json, print_table, say

if TYPE_CHECKING:
    from dit_bench.data.loading import Split
    from dit_bench.engine.context import JobContext
    from dit_bench.engine.segmentation_scoring import ScoredSegmenter
    from dit_bench.engine.trained import TrainedWeights
    from dit_bench.recipes.resolve import ResolvedRow


def score_segmenters(
    rows: Sequence[ResolvedRow], context: JobContext, checkpoint: Path | None, split: Split | None
) -> list[tuple[TrainedWeights, ScoredSegmenter]]:
    """Evaluate the weights of all rows and seeds, or those of the named file."""
    from dit_bench.engine.segmentation_scoring import score_segmenter
    from dit_bench.engine.trained import trained_weights

    return [
        (weights, score_segmenter(settings, weights.path, split or settings.data.eval_split, context))
        for weights in trained_weights(rows, context.store, checkpoint)
        for settings in (weights.row.settings,)
    ]


def show_segmenters(results: Sequence[tuple[TrainedWeights, ScoredSegmenter]], per_class: bool, as_json: bool) -> None:
    """Print what was found, as tables or as JSON."""
    from dit_bench.report.segmentation_evaluation import (
        CLASS_HEADINGS,
        class_cells,
        segmentation_figures,
        segmentation_json,
    )

    documents = []
    for weights, result in results:
        title, found = weights.title(result.split), result.evaluation
        by_class = found.figures.class_iou, found.figures.class_accuracy
        if as_json:
            figures = segmentation_json(title, result.split, result.metrics, found, result.class_names, *by_class)
            named = {"row": weights.row.row.id, "seed": weights.seed, "weights": str(weights.path)}
            documents.append({**named, **figures})
            continue
        say(f"evaluated {result.summary}")
        # A pipe shows no titles, so each line says what it belongs to.
        lines = [(weights.name, *figure) for figure in segmentation_figures(result.metrics, found)]
        print_table(title, ("row", "figure", "value"), lines)
        if per_class:
            cells = [(weights.name, *cell) for cell in class_cells(result.class_names, *by_class)]
            print_table(f"{title}, class by class", ("row", *CLASS_HEADINGS), cells)
    if as_json:
        print_json(documents)
