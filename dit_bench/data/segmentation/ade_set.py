"""Folders in ADE20K's layout (SceneParse150)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.ade_classes import ADE_CLASS_NAMES, OTHER_NAME
from dit_bench.data.segmentation.ade_layout import find_root, list_split
from dit_bench.data.segmentation.label_readers import PngLabels
from dit_bench.data.segmentation.label_values import ZeroLabel, check_class_names
from dit_bench.data.segmentation.paired_set import PairedSet


class AdeSet(PairedSet):
    """One split of a folder in SceneParse150's layout; `root` is the folder that holds `images` and `annotations`."""

    def __init__(
        self,
        root: str | Path,
        split: Split,
        *,
        class_names: Sequence[str] = (),
        zero_label: ZeroLabel = "ignore",
        tune_images: int = 0,
    ):
        """List a split and look at the headers of its files; no image is decoded.

        Without `class_names` they are SceneParse150's, 150 of them, with "other" before them where 0 is a class. The
        tune split is `tune_images` training images, evenly spread over their names; the train split leaves these out.

        Raises:
            DataError: the folder is missing or not in this layout, an image lacks its label image or the other way
                round, or a label image has another size than its image or holds no numbers of classes.
            UsageError: the names of the classes are of no use.
        """
        found = find_root(Path(root))
        default = ADE_CLASS_NAMES if zero_label == "ignore" else (OTHER_NAME, *ADE_CLASS_NAMES)
        names = tuple(class_names) or default
        check_class_names(names)
        folders = list_split(found, split)
        reader = PngLabels(
            folders.labels,
            found,
            zero_label,
            len(names),
            remedy="segmentation.classes must name every class of the data set, and segmentation.zero_label"
            f" ({zero_label}) say whether 0 is the first",
        )
        super().__init__(
            found,
            split,
            folders,
            reader,
            class_names=names,
            zero_label=zero_label,
            tune_images=tune_images,
            place=folders.images,
        )
