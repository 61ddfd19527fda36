"""What `dit-bench eval` prints of a segmentation network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dit_bench.cli.evaluate_dense import Shown

if TYPE_CHECKING:
    from dit_bench.engine.dense_scoring import ScoredDense


def shown_segmenter(title: str, result: ScoredDense) -> Shown:
    """Its figures, and those of its classes."""
    from dit_bench.report.evaluation import dense_json
    from dit_bench.report.segmentation_evaluation import CLASS_HEADINGS, class_cells, class_json, segmentation_figures

    found, names = result.evaluation, result.dataset.class_names
    by_class = found.figures.class_iou, found.figures.class_accuracy
    return Shown(
        segmentation_figures(result.metrics, found),
        CLASS_HEADINGS,
        class_cells(names, *by_class),
        dense_json(title, result.split, result.metrics, found, class_json(names, *by_class)),
    )
