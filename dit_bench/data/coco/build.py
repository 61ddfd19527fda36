"""Detection sets by their settings."""

from __future__ import annotations

from pathlib import Path

from dit_bench.data.coco.coco_set import LAYOUT, SOURCE, CocoSet
from dit_bench.data.coco.detection_set import DetectionSet
from dit_bench.data.coco.scene_detection_set import SceneDetectionSet
from dit_bench.data.scenes.multi_scene_set import load_multi_scenes
from dit_bench.data.scenes.sources import Split
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.settings import DataSettings


def build_detection_set(
    settings: DataSettings, split: Split, *, training: bool, cache_dir: Path | None = None
) -> DetectionSet:
    """Return a split of the data set that the settings name; `cache_dir` holds generated scenes.

    `training` leaves out images that nothing can be learnt from; an evaluation needs them all. COCO's training split
    gives up its tuning images only when the settings evaluate on the tune split: with `eval_split: val` it is whole,
    as in the papers.

    Raises:
        DataError: a folder is missing, not in COCO's layout, or its annotations are not sound.
        UsageError: the scene settings cannot be drawn, or the data set has no boxes.
    """
    if settings.dataset == "digit_scenes":
        return SceneDetectionSet(load_multi_scenes(split, settings, cache_dir))
    if settings.dataset != "coco":
        raise UsageError(
            f"data.dataset={settings.dataset} has no boxes to detect", remedy="use data.dataset=coco or digit_scenes"
        )
    if settings.root is None:
        raise DataError(
            "data.root is not set, so there is no COCO folder to read",
            remedy=f"pass data.root=ROOT with {LAYOUT}; {SOURCE}",
        )
    tuned = split == "tune" or settings.eval_split == "tune"
    return CocoSet(
        Path(settings.root).expanduser(), split, training=training, tune_images=settings.tune_images if tuned else 0
    )
