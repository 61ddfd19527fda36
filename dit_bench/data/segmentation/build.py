"""Segmentation sets by their settings."""

from __future__ import annotations

from pathlib import Path

from dit_bench.data.scenes.multi_scene_set import load_multi_scenes
from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.ade_layout import LAYOUT, SOURCE
from dit_bench.data.segmentation.ade_set import AdeSet
from dit_bench.data.segmentation.scene_segmentation_set import SceneSegmentationSet
from dit_bench.data.segmentation.segmentation_set import SegmentationSet
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.settings import DataSettings, SegmentationSettings


def build_segmentation_set(
    data: DataSettings, segmentation: SegmentationSettings, split: Split, cache_dir: Path | None = None
) -> SegmentationSet:
    """Return a split of the data set that the settings name; `cache_dir` holds generated scenes.

    ADE20K's training split gives up its tuning images only when the settings evaluate on the tune split: with
    `eval_split: val` it is whole, as in the papers.

    Raises:
        DataError: a folder is missing, not in SceneParse150's layout, or its label images are not sound.
        UsageError: the scene settings cannot be drawn, the names of classes are of no use, or the data set has no
            semantic maps.
    """
    if data.dataset == "digit_scenes":
        if segmentation.classes:
            raise UsageError(
                f"segmentation.classes names {len(segmentation.classes)} classes, but data.dataset is digit_scenes",
                remedy="leave segmentation.classes empty; digit scenes have the digits as their classes",
            )
        return SceneSegmentationSet(load_multi_scenes(split, data, cache_dir), segmentation.zero_label)
    if data.dataset != "ade20k":
        raise UsageError(
            f"data.dataset={data.dataset} has no semantic maps", remedy="use data.dataset=ade20k or digit_scenes"
        )
    if data.root is None:
        raise DataError(
            "data.root is not set, so there is no ADE20K folder to read",
            remedy=f"pass data.root=ROOT with {LAYOUT}; {SOURCE}",
        )
    tuned = split == "tune" or data.eval_split == "tune"
    return AdeSet(
        Path(data.root).expanduser(),
        split,
        class_names=segmentation.classes,
        zero_label=segmentation.zero_label,
        tune_images=data.tune_images if tuned else 0,
    )
