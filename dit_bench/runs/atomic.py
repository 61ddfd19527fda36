"""Writing files so that a reader sees the old content or the whole new one, never a half."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dit_bench.errors import DataError

ASIDE_PREFIX = ".aside-"
"""Begins the names of files that are being written; one that stays behind was left by a killed process."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new file beside `path` to write to; on success it is synced to disk and renamed to `path`.

    On any exception the new file is removed and `path` stays as it was. The name of the new file ends like `path`'s,
    for writers that look at the suffix. Raises DataError when the folder or disk does not take the file.
    """
    aside = path.with_name(f"{ASIDE_PREFIX}{secrets.token_hex(8)}{path.suffix}")
    try:
        with writing_to(path):
            aside.touch(exist_ok=False)
            yield aside
            _sync(aside)
            os.replace(aside, path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, atomically."""
    with replacing(path) as aside:
        aside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file in UTF-8, atomically."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make renames and new files in a folder survive a power cut."""
    _sync(folder)


@contextmanager
def writing_to(path: Path, remedy: str = "free some space, or choose another folder") -> Iterator[None]:
    """Turn the operating system's refusal to write to `path` into a DataError with a remedy."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path}: cannot be written: {reason}", remedy=remedy) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
