"""Label maps in MATLAB's .mat files: an array of ids in one of the file's variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat

from dit_bench.data.segmentation.folders import Pair
from dit_bench.data.segmentation.label_ids import IdMap
from dit_bench.data.segmentation.label_readers import file_identity
from dit_bench.data.segmentation.mat_headers import announced_shapes
from dit_bench.errors import DataError

Shapes = Mapping[str, tuple[int, ...]]


def read_shapes(path: Path) -> Shapes:
    """Return the shapes of a .mat file's variables by their names, without decoding them.

    Raises:
        DataError: the file is missing, cut short, damaged, or no .mat file; the message names it.
    """
    announced = announced_shapes(path)
    if announced is not None:
        return announced
    listed = _guarded(path, lambda: whosmat(str(path), appendmat=False))
    return {name: tuple(shape) for name, shape, _ in listed}


def map_size(path: Path, variable: str, shapes: Shapes) -> tuple[int, int]:
    """Return height and width of the label map in a .mat file of these shapes.

    Raises:
        DataError: there is no such variable, or it is no map.
    """
    if variable not in shapes:
        held = ", ".join(sorted(shapes)) or "nothing"
        raise DataError(
            f"label map {path} has no variable {variable!r}, it has {held}",
            remedy="restore the file, or use the release whose files have it",
        )
    shape = shapes[variable]
    if len(shape) != 2 or 0 in shape:
        raise DataError(
            f"label map {path}: {variable!r} is an array of shape {shape}, not height x width",
            remedy="restore or replace the file",
        )
    return shape[0], shape[1]


def read_ids(path: Path, variable: str) -> np.ndarray:
    """Return the ids of a label map as they stand in the file, int64 (H, W); MATLAB writes some as doubles.

    Raises:
        DataError: the file is missing or damaged, or the variable holds something else than ids.
    """
    content: Any = _guarded(path, lambda: loadmat(str(path), variable_names=[variable], appendmat=False))
    if variable not in content:
        map_size(path, variable, read_shapes(path))
    ids = content.get(variable)
    # a sparse or struct array has a shape, too
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "buif":
        raise DataError(f"label map {path}: {variable!r} holds no whole numbers", remedy="restore or replace the file")
    map_size(path, variable, {variable: ids.shape})
    with np.errstate(invalid="ignore"):
        whole = ids.astype(np.int64)
    if not np.array_equal(whole, ids) or whole.min() < 0:
        raise DataError(
            f"label map {path}: {variable!r} holds numbers that are no ids (below 0, or not whole)",
            remedy="restore or replace the file",
        )
    return whole


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except MemoryError:
        raise
    except NotImplementedError as error:  # HDF5, which scipy leaves to others
        raise DataError(
            f"label map {path} is a .mat file of version 7.3", remedy="use the release's own files, of version 5"
        ) from error
    except Exception as error:  # scipy raises OSError, ValueError, TypeError, zlib.error and more
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise DataError(f"cannot read label map {path}: {reason}", remedy="restore or replace the file") from error


class MatLabels:
    """Label maps in a folder of .mat files, as releases of annotations have them."""

    def __init__(self, folder: Path, variable: str, ids: IdMap, check: Callable[[Path, Shapes], None] | None = None):
        """Hold where the ids lie and what becomes of them; `check` looks at each file's shapes and may refuse it."""
        self.folder = folder
        self.variable = variable
        self.ids = ids
        self.check = check

    def describe(self, pair: Pair) -> str:
        """Return the file's path."""
        return f"label map {self.folder / pair.labels}"

    def size(self, pair: Pair) -> tuple[int, int]:
        """Return height and width by the header of the variable.

        Raises:
            DataError: the file is no .mat file, has no such map, or is of another release.
        """
        path = self.folder / pair.labels
        shapes = read_shapes(path)
        if self.check is not None:
            self.check(path, shapes)
        return map_size(path, self.variable, shapes)

    def values(self, pair: Pair) -> np.ndarray:
        """Return the numbers of the classes, uint8 (H, W).

        Raises:
            DataError: the file cannot be read, or holds an id that must not occur.
        """
        return self.ids.numbers(read_ids(self.folder / pair.labels, self.variable), self.describe(pair))

    def identity(self, pair: Pair) -> str:
        """Return the name of the file with its folder, and its size in bytes."""
        return file_identity(self.folder / pair.labels, self.folder.parent)
