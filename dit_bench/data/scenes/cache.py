"""Array files that can be made again at any time: kept in the user's cache folder, never trusted."""

import logging
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

CACHE_VARIABLE = "DIT_BENCH_CACHE"

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]
Layout = Mapping[str, tuple[np.dtype, tuple[int | None, ...]]]
"""Per array its dtype and shape; None stands for a length that is not known beforehand."""


def default_cache_dir() -> Path:
    """Return the folder of cached data: `$DIT_BENCH_CACHE`, or the platform's cache folder with `dit-bench` in it."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dit-bench"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "dit-bench" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dit-bench"


def _fits(arrays: Arrays, layout: Layout) -> bool:
    return set(arrays) == set(layout) and all(
        arrays[name].dtype == dtype
        and arrays[name].ndim == len(shape)
        and all(want in (None, have) for want, have in zip(shape, arrays[name].shape, strict=True))
        for name, (dtype, shape) in layout.items()
    )


def _read(path: Path, layout: Layout) -> Arrays | None:
    """The arrays of a cache file; None when there is none or when it is damaged (each part carries a checksum)."""
    try:
        # opened here, because numpy leaves a damaged file open
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        logger.warning("cache file %s is damaged (%s); making it again", path, type(error).__name__)
        return None
    if not _fits(arrays, layout):
        logger.warning("cache file %s holds other arrays than expected; making it again", path)
        return None
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".partial", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # numbers only, so nothing is pickled
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def cached_arrays(path: Path, layout: Layout, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays stored at `path`, or make them and store them there.

    A damaged file is made again. A folder that cannot be written costs the time of making the arrays and no more.
    """
    arrays = _read(path, layout)
    if arrays is not None:
        return arrays
    arrays = make()
    assert _fits(arrays, layout), "what was made does not match its layout"
    try:
        _write(path, arrays)
    except OSError as error:
        logger.warning("cannot keep %s in the cache (%s)", path, error.strerror or error)
    return arrays
