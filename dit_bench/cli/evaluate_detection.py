"""`dit-bench eval` of recipes whose task is detection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dit_bench.cli.evaluate_dense import Shown, score_dense, show_dense

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

    return score_dense(rows, context, checkpoint, split, score_detector)


def show_detectors(results: Sequence[tuple[TrainedWeights, ScoredDetector]], per_class: bool, as_json: bool) -> None:
    """Print what was found, as tables or as JSON."""
    from dit_bench.report.detection_evaluation import CLASS_HEADINGS, class_cells, class_json, detection_figures
    from dit_bench.report.evaluation import dense_json

    def shown(title: str, result: ScoredDetector) -> Shown:
        found, names = result.evaluation, result.class_names
        by_class = found.boxes.class_ap, None if found.masks is None else found.masks.class_ap
        return Shown(
            detection_figures(result.metrics, found),
            CLASS_HEADINGS,
            class_cells(names, *by_class),
            dense_json(title, result.split, result.metrics, found, class_json(names, *by_class)),
        )

    show_dense(results, shown, per_class, as_json)
