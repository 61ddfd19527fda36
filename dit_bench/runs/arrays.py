"""Named arrays in one file, written atomically and read back strictly: no pickle is ever executed."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dit_bench.errors import DataError
from dit_bench.runs.atomic import replacing

Content = TypeVar("Content")

# What numpy raises on files that are cut, altered, no archive, of other arrays, of absurd sizes, or hold pickles.
_UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError, RuntimeError),
    *(MemoryError, OverflowError, SyntaxError, zipfile.BadZipFile, zlib.error),
)


def write_arrays(file: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write a compressed `.npz`."""
    with replacing(file) as aside:
        np.savez_compressed(aside, **arrays)  # pyright: ignore[reportArgumentType]


def read_arrays(file: Path, make: Callable[..., Content]) -> Content:
    """Pass the arrays of an `.npz` by name to `make`, which refuses wrong ones with a ValueError.

    Raises DataError when the file is missing, damaged, or holds other arrays than `make` takes.
    """
    try:
        # Opened here because numpy leaves a damaged file open.
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return make(**arrays)
    except FileNotFoundError:
        raise DataError(f"{file}: no such file", remedy="name the folder of a finished run") from None
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file}: damaged: {reason}", remedy="remove the folder and run again") from None
