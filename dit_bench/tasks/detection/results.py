"""What a detector found, in COCO's terms: pixels of the original image, COCO's category ids, compressed masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_bench.cost.formulas import Grid
from dit_bench.errors import DataError
from dit_bench.models.detectors.structures import Detections
from dit_bench.tasks.detection.pasting import encode_masks


@dataclass(frozen=True)
class ImageResults:
    """The n detections of one image, best first.

    Boxes and scores are single precision, so that what is judged is to the bit what can be stored.
    """

    image_id: int
    category_ids: NDArray[np.int64]
    """`(n,)`, the data set's own ids."""
    scores: NDArray[np.float32]
    """`(n,)`."""
    boxes: NDArray[np.float32]
    """`(n, 4)`: x, y, width, height in pixels of the original image."""
    masks: list[dict[str, Any]] | None = None
    """Compressed run lengths at the size of the original image; None where only boxes were predicted."""

    def box_results(self) -> list[dict[str, Any]]:
        """Entries of a COCO result file for boxes."""
        boxes = self.boxes.tolist()
        return [{**entry, "bbox": box} for entry, box in zip(self._entries(), boxes, strict=True)]

    def mask_results(self) -> list[dict[str, Any]]:
        """Entries of a COCO result file for masks.

        They hold no box: COCO's evaluation would take the size of an object from the box instead of the mask.
        """
        assert self.masks is not None, "the detector predicts no masks"
        return [{**entry, "segmentation": mask} for entry, mask in zip(self._entries(), self.masks, strict=True)]

    def _entries(self) -> list[dict[str, Any]]:
        return [
            {"image_id": self.image_id, "category_id": category, "score": score}
            for category, score in zip(self.category_ids.tolist(), self.scores.tolist(), strict=True)
        ]


def image_results(
    detections: Detections, image_id: int, *, resized: Grid, original: Grid, category_ids: Sequence[int]
) -> ImageResults:
    """Bring one image's detections from the resized image (before padding) back to the original one.

    Height and width are scaled by their own factors, which differ a little as the resized sides are whole pixels.
    `category_ids[k]` is the data set's id of label k.

    Raises:
        DataError: a score, box or mask is not finite.
    """
    scores = detections.scores.detach().cpu().float().numpy()
    boxes = detections.boxes.detach().cpu().double().numpy().reshape(-1, 4)
    labels = detections.labels.detach().cpu().numpy()
    grids = None if detections.masks is None else detections.masks.detach().cpu().float().numpy()
    for name, values in (("score", scores), ("box", boxes), ("mask", grids)):
        if values is not None and not np.isfinite(values).all():
            raise DataError(
                f"image {image_id}: the {name} of a detection is not finite",
                remedy="the weights are damaged or training diverged",
            )
    down, across = original[0] / resized[0], original[1] / resized[1]
    boxes = boxes * (across, down, across, down)
    corner, size = boxes[:, :2], np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return ImageResults(
        image_id=int(image_id),
        category_ids=np.asarray(category_ids, np.int64)[labels],
        scores=scores,
        boxes=np.concatenate([corner, size], axis=1).astype(np.float32),
        masks=None if grids is None else encode_masks(grids, boxes, original),
    )
