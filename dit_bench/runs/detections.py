"""What a run's detector found in each image: boxes, scores and masks of all detections, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dit_bench.runs.arrays import read_arrays, write_arrays
from dit_bench.runs.run_lengths import check_run_lengths

DETECTIONS_FILE = "detections.npz"

_ARRAYS = {
    "images": (np.int64, 1),
    "image_id": (np.int64, 1),
    "category_id": (np.int64, 1),
    "score": (np.float32, 1),
    "box": (np.float32, 2),
}
_MASK_ARRAYS = {"mask_size": (np.int32, 2), "mask_length": (np.int32, 1), "mask_counts": (np.uint8, 1)}


class ImageDetections(Protocol):
    """The n detections of one image in COCO's terms; masks are compressed run lengths (`size` and text `counts`)."""

    @property
    def image_id(self) -> int:
        """The data set's id of the image."""
        ...

    @property
    def category_ids(self) -> NDArray[np.int64]:
        """`(n,)`."""
        ...

    @property
    def scores(self) -> NDArray[np.float32]:
        """`(n,)`."""
        ...

    @property
    def boxes(self) -> NDArray[np.float32]:
        """`(n, 4)`: x, y, width, height."""
        ...

    @property
    def masks(self) -> Sequence[Mapping[str, Any]] | None:
        """One per detection, or None where only boxes were predicted."""
        ...


@dataclass(frozen=True)
class DetectionRecords:
    """Arrays over the n detections of m images, in pixels of the original images and with the data set's own ids."""

    images: NDArray[np.int64]
    """`(m,)`: all images that were looked at, in ascending order, also those where nothing was found."""
    image_id: NDArray[np.int64]
    """`(n,)`."""
    category_id: NDArray[np.int64]
    """`(n,)`."""
    score: NDArray[np.float32]
    """`(n,)`."""
    box: NDArray[np.float32]
    """`(n, 4)`: x, y, width, height."""
    mask_size: NDArray[np.int32] | None = None
    """`(n, 2)`: height and width; None, as the next two, where only boxes were predicted."""
    mask_length: NDArray[np.int32] | None = None
    """`(n,)`: characters of each mask's compressed run lengths."""
    mask_counts: NDArray[np.uint8] | None = None
    """The characters of all masks one after the other."""

    def __post_init__(self) -> None:
        with_masks = [name for name in _MASK_ARRAYS if getattr(self, name) is not None]
        if with_masks and len(with_masks) < len(_MASK_ARRAYS):
            raise ValueError(f"{with_masks[0]} without the other arrays of masks")
        for name, (dtype, dimensions) in {**_ARRAYS, **(_MASK_ARRAYS if with_masks else {})}.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions:
                wanted = f"{np.dtype(dtype)} of {dimensions} dimensions"
                raise ValueError(f"{name} has type {array.dtype} and shape {array.shape}, expected {wanted}")
        count = len(self.image_id)
        shapes = {"category_id": (count,), "score": (count,), "box": (count, 4)}
        shapes |= {"mask_size": (count, 2), "mask_length": (count,)} if with_masks else {}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        self._check_values()

    def _check_values(self) -> None:
        if (np.diff(self.images) <= 0).any():
            raise ValueError("images are not in ascending order, each once")
        if not np.isin(self.image_id, self.images).all():
            raise ValueError("image_id names an image that is not among images")
        if not np.isfinite(self.score).all():
            raise ValueError("score is not finite")
        if not np.isfinite(self.box).all() or (self.box[:, 2:] < 0).any():
            raise ValueError("box is not x, y, width, height")
        if (masks := self._masks()) is not None:
            check_run_lengths(*masks)

    @property
    def has_masks(self) -> bool:
        """Whether masks were predicted, not boxes alone."""
        return self.mask_counts is not None

    def _masks(self) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]] | None:
        """Characters, characters per mask and sizes."""
        if self.mask_counts is None or self.mask_length is None or self.mask_size is None:
            return None
        return self.mask_counts, self.mask_length, self.mask_size

    def of_image(self, image_id: int) -> DetectionRecords:
        """The records of one image; none where nothing was found in it."""
        chosen = self.image_id == image_id
        arrays: dict[str, Any] = {}
        if (masks := self._masks()) is not None:
            counts, length, size = masks
            arrays = {"mask_size": size[chosen], "mask_length": length[chosen]}
            arrays["mask_counts"] = counts[np.repeat(chosen, length)]
        return DetectionRecords(
            images=self.images[self.images == image_id],
            image_id=self.image_id[chosen],
            category_id=self.category_id[chosen],
            score=self.score[chosen],
            box=self.box[chosen],
            **arrays,
        )

    def run_lengths(self) -> list[dict[str, Any]]:
        """The masks in COCO's form: `size` and text `counts`."""
        masks = self._masks()
        assert masks is not None, "only boxes were predicted"
        counts, length, sizes = masks
        text, ends = counts.tobytes().decode("ascii"), np.cumsum(length, dtype=np.int64)
        return [
            {"size": size, "counts": text[begin:end]}
            for size, begin, end in zip(sizes.tolist(), (ends - length).tolist(), ends.tolist(), strict=True)
        ]

    def results(self, iou_type: Literal["bbox", "segm"]) -> list[dict[str, Any]]:
        """Entries of a COCO result file for boxes or for masks; the latter hold no box (it would change the areas)."""
        shape, shapes = ("bbox", self.box.tolist()) if iou_type == "bbox" else ("segmentation", self.run_lengths())
        columns = (self.image_id.tolist(), self.category_id.tolist(), self.score.tolist(), shapes)
        return [
            {"image_id": image_id, "category_id": category_id, "score": score, shape: found}
            for image_id, category_id, score, found in zip(*columns, strict=True)
        ]


def join_detections(images: Iterable[ImageDetections]) -> DetectionRecords:
    """The records of all images, in ascending order of their ids; within an image the order stays.

    Raises ValueError when an image comes twice, or some images have masks and others none.
    """
    parts = sorted(images, key=lambda part: part.image_id)
    counts = [len(part.scores) for part in parts]
    masks: dict[str, Any] = {}
    if parts and all(part.masks is not None for part in parts):
        entries = [mask for part in parts for mask in part.masks or ()]
        text = [mask["counts"].encode("ascii") for mask in entries]
        masks = {
            "mask_size": np.array([mask["size"] for mask in entries], np.int32).reshape(-1, 2),
            "mask_length": np.array([len(counts) for counts in text], np.int32),
            "mask_counts": np.frombuffer(b"".join(text), np.uint8),
        }
    elif any(part.masks is not None for part in parts):
        raise ValueError("some images have masks, others none")
    ids = np.array([part.image_id for part in parts], np.int64)
    return DetectionRecords(
        images=ids,
        image_id=np.repeat(ids, counts),
        category_id=_joined([part.category_ids for part in parts], np.int64),
        score=_joined([part.scores for part in parts], np.float32),
        box=_joined([part.boxes for part in parts], np.float32, (0, 4)),
        **masks,
    )


def save_detections(folder: Path, records: DetectionRecords) -> Path:
    """Write `detections.npz` into a run's folder, atomically, and return its path."""
    path = folder / DETECTIONS_FILE
    arrays = {item.name: getattr(records, item.name) for item in fields(records)}
    write_arrays(path, {name: array for name, array in arrays.items() if array is not None})
    return path


def load_detections(path: Path) -> DetectionRecords:
    """Read `detections.npz`, given the run's folder or the file; no pickle is ever executed.

    Raises DataError when it is missing, damaged, or holds other arrays than `DetectionRecords`, or masks that do not
    cover their images.
    """
    return read_arrays(path / DETECTIONS_FILE if path.is_dir() else path, DetectionRecords)


def _joined(parts: Sequence[NDArray[Any]], dtype: Any, empty: tuple[int, ...] = (0,)) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(empty, dtype)
