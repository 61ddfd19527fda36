"""Writes reports: never half a file, never over an existing one unless asked."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dit_bench.errors import UsageError


def check_target(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Refuse a path that could not be written, before the work for it begins.

    Raises UsageError for a suffix that is not among `suffixes`, an existing file without `force`, or a folder.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: unknown format '{path.suffix}'", remedy=f"use one of {', '.join(suffixes)}")
    if path.is_dir():
        raise UsageError(f"{path}: is a folder", remedy="give the path of a file")
    if path.exists() and not force:
        raise UsageError(f"{path}: exists", remedy="choose another path, or replace it with --force")


@contextmanager
def written_aside(path: Path, suffixes: Sequence[str], *, force: bool) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the name of `path` when the block ends without an error.

    Creates the folder if it is missing. Raises UsageError as `check_target` does, or if nothing can be written there.
    """
    check_target(path, suffixes, force=force)
    # The suffix stays at the end: writers choose their format by it.
    aside = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        check_target(path, suffixes, force=force)
        aside.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror or error})", remedy="choose another path"
        ) from error
    finally:
        # Gone after success; below something that is no folder it never was.
        with suppress(OSError):
            aside.unlink()
