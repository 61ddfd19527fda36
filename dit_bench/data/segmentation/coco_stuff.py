"""COCO-Stuff-10K v1.1: 10,000 of COCO's pictures with 80 things and 91 kinds of stuff."""

from __future__ import annotations

from pathlib import Path

from dit_bench.data.scenes.sources import Split
from dit_bench.data.segmentation.coco_stuff_classes import COCO_STUFF_CLASS_NAMES, COCO_STUFF_IDS
from dit_bench.data.segmentation.coco_stuff_layout import NAMES_V10, SOURCE, check_version, find_form, list_split
from dit_bench.data.segmentation.folders import SplitFolders
from dit_bench.data.segmentation.label_readers import LabelReader, PngLabels
from dit_bench.data.segmentation.mat_files import MatLabels, read_ids, read_shapes
from dit_bench.data.segmentation.paired_set import PairedSet
from dit_bench.errors import DataError

VARIABLE = "S"


class CocoStuffSet(PairedSet):
    """One split of COCO-Stuff-10K v1.1, as given out or as mmsegmentation converts it.

    A 0 is a pixel that nobody labelled; it is never a class.
    """

    def __init__(self, root: str | Path, split: Split, *, tune_images: int = 0):
        """List a split and look at the headers of its files; no image is decoded.

        The test pictures are the val split. The tune split is `tune_images` training images, evenly spread over their
        names; the train split leaves these out.

        Raises:
            DataError: pictures, labels or lists are missing, not sound or mixed, labels have another size than their
                image, or it is another release of COCO-Stuff.
        """
        root = Path(root)
        form = find_form(root)
        folders, place = list_split(root, form, split)
        reader: LabelReader
        if form == "official":
            reader = MatLabels(folders.labels, VARIABLE, COCO_STUFF_IDS, check_version)
        else:
            reader = PngLabels(
                folders.labels,
                root,
                "ignore",
                len(COCO_STUFF_CLASS_NAMES),
                with_ignored=False,
                remedy="annotations holds what mmsegmentation's converter makes of COCO-Stuff-10K version 1.1; the"
                " release of 164,000 pictures has 255 for unlabelled and classes from 0 on",
            )
        super().__init__(
            root,
            split,
            folders,
            reader,
            class_names=COCO_STUFF_CLASS_NAMES,
            zero_label="ignore",
            tune_images=tune_images,
            place=place,
        )
        if form == "official":
            _check_unnamed(folders)


def _check_unnamed(folders: SplitFolders) -> None:
    """Tell version 1.1 from 1.0 by the ids where the files do not name their classes.

    An id above 172 is only in 1.1. Files as given out do name them, so that only the first one is looked at.

    Raises:
        DataError: no file of the split has such an id.
    """
    for pair in folders.pairs:
        path = folders.labels / pair.labels
        if "names" in read_shapes(path) or int(read_ids(path, VARIABLE).max()) > NAMES_V10:
            return
    raise DataError(
        f"{folders.labels}: the label maps name no classes (variable 'names') and have no id above {NAMES_V10}, so"
        " that they may be of COCO-Stuff-10K version 1.0, whose ids are others",
        remedy=f"use version 1.1 as given out. {SOURCE}",
    )
