"""`dit-bench eval` of recipes whose task is segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dit_bench.cli.evaluate_dense import Shown, score_dense, show_dense

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

    return score_dense(rows, context, checkpoint, split, score_segmenter)


def show_segmenters(results: Sequence[tuple[TrainedWeights, ScoredSegmenter]], per_class: bool, as_json: bool) -> None:
    """Print what was found, as tables or as JSON."""
    from dit_bench.report.evaluation import dense_json
    from dit_bench.report.segmentation_evaluation import CLASS_HEADINGS, class_cells, class_json, segmentation_figures

    def shown(title: str, result: ScoredSegmenter) -> Shown:
        found, names = result.evaluation, result.class_names
        by_class = found.figures.class_iou, found.figures.class_accuracy
        return Shown(
            segmentation_figures(result.metrics, found),
            CLASS_HEADINGS,
            class_cells(names, *by_class),
            dense_json(title, result.split, result.metrics, found, class_json(names, *by_class)),
        )

    show_dense(results, shown, per_class, as_json)
