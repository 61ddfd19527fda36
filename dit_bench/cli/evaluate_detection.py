"""`dit-bench eval` of recipes whose task is detection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dit_bench.cli.console import print_json, print_table, say

if TYPE_CHECKING:
    from dit_bench.data.loading import Split
    from dit_bench.engine.context import JobContext
    from dit_bench.engine.detection_scoring import ScoredDetector
    from dit_bench.engine.trained import TrainedWeights
    from dit_bench.recipes.resolve import ResolvedRow


def score_detectors(
    rows: Sequence[ResolvedRow], context: JobContext, checkpoint: Path | None, split: Split | None
) -> list[tuple[TrainedWeights, ScoredDetector]]:
    """Evaluate the weights of all rows and seeds, or those of the named file."""
    from dit_bench.engine.detection_scoring import score_detector
    from dit_bench.engine.trained import trained_weights

    return [
        (weights, score_detector(settings, weights.path, split or settings.data.eval_split, context))
        for weights in trained_weights(rows, context.store, checkpoint)
        for settings in (weights.row.settings,)
    ]


def show_detectors(results: Sequence[tuple[TrainedWeights, ScoredDetector]], per_class: bool, as_json: bool) -> None:
    """Print what was found, as tables or as JSON."""
    from dit_bench.report.detection_evaluation import CLASS_HEADINGS, class_cells, detection_figures, detection_json

    documents = []
    for weights, result in results:
        title, found = weights.title(result.split), result.evaluation
        boxes, masks = found.boxes.class_ap, None if found.masks is None else found.masks.class_ap
        if as_json:
            figures = detection_json(title, result.split, result.metrics, found, result.class_names, boxes, masks)
            named = {"row": weights.row.row.id, "seed": weights.seed, "weights": str(weights.path)}
            documents.append({**named, **figures})
            continue
        say(f"evaluated {result.summary}")
        # A pipe shows no titles, so each line says what it belongs to.
        lines = [(weights.name, *figure) for figure in detection_figures(result.metrics, found)]
        print_table(title, ("row", "figure", "value"), lines)
        if per_class:
            cells = [(weights.name, *cell) for cell in class_cells(result.class_names, boxes, masks)]
            print_table(f"{title}, class by class", ("row", *CLASS_HEADINGS), cells)
    if as_json:
        print_json(documents)
