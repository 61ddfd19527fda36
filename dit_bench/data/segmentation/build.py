"""Segmentation sets by their settings."""

from __future__ import annotations

from pathlib import Path

from dit_bench.data.scenes.multi_scene_set import load_multi_scenes
from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation import ade_layout, coco_stuff_layout, pascal_context_layout
from dit_bench.data.segmentation.ade_set import AdeSet
from dit_bench.data.segmentation.coco_stuff import CocoStuffSet
from dit_bench.data.segmentation.pascal_context import PascalContextSet
from dit_bench.data.segmentation.scene_segmentation_set import SceneSegmentationSet
from dit_bench.data.segmentation.segmentation_set import SegmentationSet
from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.dense_settings import SegmentationSettings
from dit_bench.recipes.settings import DataSettings

EXPECTED: dict[str, tuple[str, str, str]] = {
    "ade20k": ("ADE20K", ade_layout.LAYOUT, ade_layout.SOURCE),
    "pascal_context": ("Pascal Context", pascal_context_layout.LAYOUT, pascal_context_layout.SOURCE),
    "coco_stuff_10k": ("COCO-Stuff-10K", coco_stuff_layout.LAYOUT, coco_stuff_layout.SOURCE),
}
"""Of the data sets that lie in folders: their names, what the folder holds, and where people get it."""


def build_segmentation_set(
    data: DataSettings, segmentation: SegmentationSettings, split: Split, cache_dir: Path | None = None
) -> SegmentationSet:
    """Return a split of the data set that the settings name; `cache_dir` holds generated scenes.

    A training split gives up its tuning images only when the settings evaluate on the tune split: with
    `eval_split: val` it is whole, as in the papers.

    Raises:
        DataError: a folder is missing, not in the data set's layout, or its labels are not sound.
        UsageError: the scene settings cannot be drawn, the classes are not the data set's to choose or of no use, or
            the data set has no semantic maps.
    """
    dataset: str = data.dataset
    if segmentation.classes and dataset in ("digit_scenes", "pascal_context", "coco_stuff_10k"):
        own = "digit scenes have the digits as their classes" if dataset == "digit_scenes" else "it has its own"
        raise UsageError(
            f"segmentation.classes names {len(segmentation.classes)} classes, but data.dataset is {dataset}",
            remedy=f"leave segmentation.classes empty; {own}",
        )
    if dataset == "digit_scenes":
        return SceneSegmentationSet(load_multi_scenes(split, data, cache_dir), segmentation.zero_label)
    if dataset not in EXPECTED:
        known = ", ".join(EXPECTED)
        raise UsageError(
            f"data.dataset={dataset} has no semantic maps", remedy=f"use data.dataset={known} or digit_scenes"
        )
    if data.root is None:
        name, layout, source = EXPECTED[dataset]
        raise DataError(
            f"data.root is not set, so there is no {name} folder to read",
            remedy=f"pass data.root=ROOT with {layout}; {source}",
        )
    root = Path(data.root).expanduser()
    tune_images = data.tune_images if split == "tune" or data.eval_split == "tune" else 0
    if dataset == "pascal_context":
        return PascalContextSet(root, split, zero_label=segmentation.zero_label, tune_images=tune_images)
    if dataset == "coco_stuff_10k":
        if segmentation.zero_label == "class":
            raise UsageError(
                "segmentation.zero_label is class, but a 0 in COCO-Stuff-10K is a pixel that nobody labelled",
                remedy="set segmentation.zero_label=ignore",
            )
        return CocoStuffSet(root, split, tune_images=tune_images)
    return AdeSet(
        root, split, class_names=segmentation.classes, zero_label=segmentation.zero_label, tune_images=tune_images
    )
