"""Pascal Context: VOC2010's pictures with 59 classes of things and surroundings, and background between them."""

from __future__ import annotations

from pathlib import Path

from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.detail_labels import DetailLabels, read_detail
from dit_bench.data.segmentation.label_readers import LabelReader, PngLabels
from dit_bench.data.segmentation.label_values import ZeroLabel
from dit_bench.data.segmentation.mat_files import MatLabels
from dit_bench.data.segmentation.paired_set import PairedSet
from dit_bench.data.segmentation.pascal_context_classes import (
    BACKGROUND_NAME,
    PASCAL_CONTEXT_CLASS_NAMES,
    PASCAL_CONTEXT_IDS,
)
from dit_bench.data.segmentation.pascal_context_layout import DETAIL, LABEL_IMAGES, find_files, list_split


class PascalContextSet(PairedSet):
    """One split of Pascal Context, in mmsegmentation's form, PASCAL in Detail's or that of its own release.

    With `ignore` there are the 59 classes of most papers, and nobody looks at the background; with `class` there are
    60, the background first. Figures of the two are some 5 to 6 points of mIoU apart.
    """

    def __init__(self, root: str | Path, split: Split, *, zero_label: ZeroLabel = "ignore", tune_images: int = 0):
        """List a split and look at the headers of its files; no image is decoded.

        The tune split is `tune_images` training images, evenly spread over their names; the train split leaves these
        out.

        Raises:
            DataError: pictures, labels or lists are missing, not sound or mixed, or labels have another size than
                their image.
        """
        files = find_files(Path(root))
        detail = read_detail(files.labels) if files.form == "detail" else None
        folders, place = list_split(files, split, detail)
        names = PASCAL_CONTEXT_CLASS_NAMES if zero_label == "ignore" else (BACKGROUND_NAME, *PASCAL_CONTEXT_CLASS_NAMES)
        reader: LabelReader
        if detail is not None:
            reader = DetailLabels(detail, PASCAL_CONTEXT_IDS)
        elif files.form == "original":
            reader = MatLabels(folders.labels, "LabelMap", PASCAL_CONTEXT_IDS)
        else:
            reader = PngLabels(
                folders.labels,
                files.voc,
                zero_label,
                len(names),
                with_ignored=False,
                remedy=f"{LABEL_IMAGES} holds what mmsegmentation's converter makes of {DETAIL}: 0 background, 1 … 59"
                " in the order of the alphabet; copies that count otherwise would be misread",
            )
        super().__init__(
            files.voc,
            split,
            folders,
            reader,
            class_names=names,
            zero_label=zero_label,
            tune_images=tune_images,
            place=place,
        )
