"""The pictures of dense prediction that `dit-bench plot` draws: detections, and classes of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dit_bench.cli.console import say
from dit_bench.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dit_bench.engine.dense_views import RoutedPicture
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings, Task
    from dit_bench.report.figures.panels import RoutingItem
    from dit_bench.runs.read import FinishedRun
    from dit_bench.runs.store import RunStore


def detections_figure(
    rows: list[ResolvedRow],
    runtime: RuntimeSettings,
    store: RunStore,
    pictures: tuple[Path, ...],
    count: int,
    min_score: float | None,
) -> Figure:
    """What the first row that has a run found, rows that route before others."""
    from dit_bench.engine.detection_views import detected_pictures
    from dit_bench.report.figures.detections import MIN_SCORE, DetectionItem, draw_detections

    run = _trained_run(rows, store, "detection", "detects nothing", "dit/table3")
    found, class_names = detected_pictures(run, runtime, pictures, count)
    items = []
    for picture in found:
        items.append(
            DetectionItem(
                image=picture.image,
                boxes=picture.boxes,
                names=[class_names[label] for label in picture.labels],
                scores=picture.scores,
                title=picture.title,
                masks=picture.masks,
                routing=_routing(picture),
                **({} if picture.true_boxes is None else {"true_boxes": picture.true_boxes}),
            )
        )
    return draw_detections(items, min_score=MIN_SCORE if min_score is None else min_score)


def segments_figure(
    rows: list[ResolvedRow], runtime: RuntimeSettings, store: RunStore, pictures: tuple[Path, ...], count: int
) -> Figure:
    """What the first row that has a run took pixels for, rows that route before others."""
    from dit_bench.engine.segmentation_views import segmented_pictures
    from dit_bench.recipes.lineage import is_plain_vit
    from dit_bench.report.figures.segments import SegmentItem, draw_segments

    if any(is_plain_vit(row.settings) for row in rows):
        name = rows[0].recipe.name
        raise UsageError(f"{name} stands on plain ViTs", remedy=f"use dit-bench plot pruning {name}")
    run = _trained_run(rows, store, "segmentation", "segments nothing", "dit/table5")
    found, class_names = segmented_pictures(run, runtime, pictures, count)
    items = [
        SegmentItem(picture.image, picture.labels, picture.title, picture.true_labels, _routing(picture))
        for picture in found
    ]
    return draw_segments(items, class_names)


def pruning_figure(
    rows: list[ResolvedRow], runtime: RuntimeSettings, store: RunStore, pictures: tuple[Path, ...], count: int
) -> Figure:
    """The same pictures under every row that has a run, in the order of the recipe, so that rows can be compared."""
    from dit_bench.engine.dtop_views import pruned_pictures
    from dit_bench.engine.trained import first_trained_run
    from dit_bench.recipes.lineage import is_plain_vit
    from dit_bench.report.figures.pruning import PruningItem, draw_pruning

    pruned = [row for row in rows if is_plain_vit(row.settings) and row.settings.pruning.mode != "baseline"]
    if not pruned:
        chosen = ", ".join(row.row.id for row in rows)
        raise UsageError(
            f"{rows[0].recipe.name} prunes no tokens in {chosen}", remedy="name rows that do, as those of dtop/fig4"
        )
    trained = [row for row in pruned if any(store.find(row.settings, seed) for seed in row.seeds)]
    found = [first_trained_run([row], store) for row in trained or pruned]  # raises where none is trained
    items, class_names, ends = [], (), ()
    for row, run in found:
        drawn, class_names, of_run = pruned_pictures(run, runtime, pictures, count)
        if ends and of_run != ends:
            say(f"left out {row.row.label}: its stages end after other layers")
            continue
        ends = of_run
        say(f"drawing {run.path.name} ({row.row.label})")
        items += [
            PruningItem(
                picture.image,
                picture.labels,
                f"{row.row.label}: {picture.title}" if len(found) > 1 else picture.title,
                picture.true_labels,
                exits=picture.exits,
                gmacs=picture.gmacs,
                macs_share=picture.gmacs / picture.baseline_gmacs,
            )
            for picture in drawn
        ]
    return draw_pruning(items, class_names, [f"layer {end}" for end in ends])


def _trained_run(rows: list[ResolvedRow], store: RunStore, task: Task, otherwise: str, example: str) -> FinishedRun:
    """A run of the first row that has one, rows that route before others; says which it is.

    Raises UsageError for a recipe of another task.
    """
    from dit_bench.engine.trained import first_trained_run
    from dit_bench.models.zoo import is_routed

    if any(row.settings.task != task for row in rows):
        raise UsageError(f"{rows[0].recipe.name} {otherwise}", remedy=f"name a recipe of {task}, as {example}")
    row, run = first_trained_run(sorted(rows, key=lambda row: not is_routed(row.settings.model.name)), store)
    say(f"drawing {run.path.name} ({row.row.label})")
    return run


def _routing(picture: RoutedPicture) -> RoutingItem | None:
    """The routing panels of a picture; None for a backbone without a routing grid."""
    from dit_bench.report.figures.panels import RoutingItem

    if not picture.kept:
        return None
    return RoutingItem(picture.network_input, picture.kept, picture.live, "", picture.gmacs)
