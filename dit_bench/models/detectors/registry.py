"""The detectors by the names that recipes use."""

from __future__ import annotations

from typing import Any

from dit_bench.models.detectors.atss import ATSS
from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.cascade_mask_rcnn import CascadeMaskRCNN
from dit_bench.models.detectors.detr import DETR
from dit_bench.models.detectors.gfl import GFL
from dit_bench.models.detectors.mask_rcnn import MaskRCNN
from dit_bench.models.detectors.retinanet import RetinaNet
from dit_bench.models.detectors.sparse_rcnn import SparseRCNN

DETECTORS: dict[str, type[Detector]] = {
    "retinanet": RetinaNet,
    "atss": ATSS,
    "gfl": GFL,
    "mask_rcnn": MaskRCNN,
    "cascade_mask_rcnn": CascadeMaskRCNN,
    "sparse_rcnn": SparseRCNN,
    "detr": DETR,
}


PUBLISHED_WIDTHS: dict[str, dict[str, int]] = {
    "mask_rcnn": {"channels": 256, "fc_width": 1024},
    "cascade_mask_rcnn": {"channels": 256, "fc_width": 1024},
    "sparse_rcnn": {"width": 256, "dynamic_width": 64, "ffn_width": 2048},
    "detr": {"width": 256, "ffn_width": 2048},
    **{name: {"channels": 256} for name in ("retinanet", "atss", "gfl")},
}
"""The widths of each detector by the names of its constructor's options."""


TWO_STAGE = ("mask_rcnn", "cascade_mask_rcnn")
QUERIES = {"sparse_rcnn": "num_proposals", "detr": "num_queries"}
"""What the constructors of detectors with learned queries call their number."""


def build_detector(
    name: str,
    widths: list[int],
    num_classes: int,
    *,
    width_divisor: int = 1,
    regions_per_image: int = 512,
    num_queries: int | None = None,
) -> Detector:
    """A freshly initialised detector with the papers' settings on maps of these widths, for classes 0 … K − 1.

    Its own widths are the published ones divided by `width_divisor`. Detectors of two stages train on so many regions
    of each image. `num_queries` is for detectors with learned queries; None is the published number.
    """
    detector: Any = DETECTORS[name]
    options = {option: width // width_divisor for option, width in PUBLISHED_WIDTHS[name].items()}
    if name in TWO_STAGE:
        options["regions_per_image"] = regions_per_image
    if num_queries is not None:
        options[QUERIES[name]] = num_queries
    return detector(widths, num_classes, **options)
