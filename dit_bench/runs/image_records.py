"""Per-image results of a run: predictions, multiply-accumulates and routes, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_bench.runs.arrays import read_arrays, write_arrays
from dit_bench.runs.read import IMAGES_FILE

_DTYPES = {
    "index": np.int64,
    "label": np.int64,
    "prediction": np.int64,
    "top5_hit": np.bool_,
    "macs": np.int64,
    "kept": np.int32,
    "tokens": np.int32,
    "columns": np.bool_,
    "live": np.bool_,
}


@dataclass(frozen=True)
class ImageRecords:
    """Arrays over n images, N scales and M stages, in the order of the data set.

    Shapes: index, label, prediction, top5_hit, macs (n,); kept, live (n, N, M); columns (n, N-1, M+1); tokens (N,), or
    (n, N) where images differ in size. What only classification has is None in other tasks.
    """

    index: NDArray[np.int64]
    macs: NDArray[np.int64]
    """Multiply-accumulates that were executed for the image."""
    kept: NDArray[np.int32]
    """Kept tokens per node."""
    tokens: NDArray[np.int32]
    """Tokens of each scale."""
    columns: NDArray[np.bool_]
    """Whether each column gate was open."""
    live: NDArray[np.bool_]
    """Whether the node's scale was live when its stage ran."""
    label: NDArray[np.int64] | None = None
    prediction: NDArray[np.int64] | None = None
    top5_hit: NDArray[np.bool_] | None = None

    @property
    def kept_ratio(self) -> list[list[float]]:
        """Kept tokens over all tokens per node, mean over the images."""
        tokens = np.broadcast_to(self.tokens, self.kept.shape[:2])
        return (self.kept / tokens[:, :, None]).mean(axis=0).tolist()

    @property
    def column_open_ratio(self) -> list[list[float]]:
        """Share of images whose column gate was open."""
        return self.columns.mean(axis=0).tolist()

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that there are, by name."""
        named = ((item.name, getattr(self, item.name)) for item in fields(self))
        return {name: array for name, array in named if array is not None}

    def __post_init__(self) -> None:
        arrays = self.arrays()
        of_classification = {"label", "prediction", "top5_hit"}
        if 0 < len(of_classification & set(arrays)) < len(of_classification):
            raise ValueError(f"of {sorted(of_classification)} only some are there")
        for name, array in arrays.items():
            dtype = _DTYPES[name]
            if array.dtype != dtype:
                raise ValueError(f"{name} has type {array.dtype}, expected {np.dtype(dtype)}")
        if self.kept.ndim != 3:
            raise ValueError(f"kept has shape {self.kept.shape}, expected (images, scales, stages)")
        count, scales, stages = self.kept.shape
        named = ("index", "label", "prediction", "top5_hit", "macs")
        expected: dict[str, tuple[int, ...]] = dict.fromkeys(named, (count,))
        expected |= {"columns": (count, scales - 1, stages + 1), "live": (count, scales, stages)}
        expected["tokens"] = (scales,) if self.tokens.ndim == 1 else (count, scales)
        for name, shape in expected.items():
            if name in arrays and arrays[name].shape != shape:
                raise ValueError(f"{name} has shape {arrays[name].shape}, expected {shape}")


def save_image_records(folder: Path, records: ImageRecords) -> Path:
    """Write `records.npz` into a run's folder, atomically, and return its path."""
    path = folder / IMAGES_FILE
    write_arrays(path, records.arrays())
    return path


def load_image_records(path: Path) -> ImageRecords:
    """Read `records.npz`, given the run's folder or the file; no pickle is ever executed.

    Raises DataError when it is missing, damaged, or holds other arrays than `ImageRecords`.
    """
    return read_arrays(path / IMAGES_FILE if path.is_dir() else path, ImageRecords)
