"""What `dit-bench eval` prints of a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dit_bench.cli.evaluate_dense import Shown

if TYPE_CHECKING:
    from dit_bench.engine.dense_scoring import ScoredDense


def shown_detector(title: str, result: ScoredDense) -> Shown:
    """Its figures, and those of its categories."""
    from dit_bench.report.detection_evaluation import CLASS_HEADINGS, class_cells, class_json, detection_figures
    from dit_bench.report.evaluation import dense_json

    found, dataset = result.evaluation, result.dataset
    names = dict(zip(dataset.category_ids, dataset.class_names, strict=True))
    by_class = found.boxes.class_ap, None if found.masks is None else found.masks.class_ap
    return Shown(
        detection_figures(result.metrics, found),
        CLASS_HEADINGS,
        class_cells(names, *by_class),
        dense_json(title, result.split, result.metrics, found, class_json(names, *by_class)),
    )
