"""What the variables of a .mat file are called and how large they are, without unpacking them.

scipy's `whosmat` unpacks most of a compressed variable to get at its header: some milliseconds a file, which thousands
of files make felt whenever a data set is opened.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from dit_bench.errors import DataError

_HEADER_BYTES, _LITTLE_ENDIAN_V5 = 128, b"\x00\x01IM"
_COMPRESSED, _MATRIX, _FLAGS, _INT32 = 15, 14, 6, 5
"""Types of data elements, MAT-File Format, table 1-1."""
_START_BYTES = 512
"""Enough for flags, dimensions and the name, at most 63 characters."""


def announced_shapes(path: Path) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a version-5 file's variables by their names; None where this reader cannot tell.

    Raises:
        DataError: the file ends before a variable that it announces does.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        size = os.stat(path).st_size
        with path.open("rb") as file:
            if file.read(_HEADER_BYTES)[124:] != _LITTLE_ENDIAN_V5:
                return None
            while file.tell() < size:
                kind, length = struct.unpack("<II", file.read(8))
                end = file.tell() + length
                if end > size:
                    raise DataError(
                        f"label map {path} is cut short: it has {size} of at least {end} bytes",
                        remedy="restore or replace the file",
                    )
                start = file.read(min(length, _START_BYTES))
                if kind == _COMPRESSED:
                    start = zlib.decompressobj().decompress(start, _START_BYTES)
                    kind, start = struct.unpack_from("<I", start)[0], start[8:]
                if kind != _MATRIX:
                    return None
                variable = _variable(start)
                if variable is None:
                    return None
                shapes[variable[0]] = variable[1]
                file.seek(end)
    except (OSError, struct.error, zlib.error, UnicodeDecodeError):
        return None
    return shapes


def _variable(start: bytes) -> tuple[str, tuple[int, ...]] | None:
    """Name and shape of a matrix by the start of its data element; None if it is laid out otherwise."""
    flags_kind, flags_bytes, dims_kind, dims_bytes = struct.unpack_from("<II8xII", start)
    if (flags_kind, flags_bytes, dims_kind) != (_FLAGS, 8, _INT32):
        return None
    shape = struct.unpack_from(f"<{dims_bytes // 4}i", start, 24)
    place = 24 + (dims_bytes + 7) // 8 * 8
    # up to four characters share a word with their number
    short, length = struct.unpack_from("<2xH", start, place)[0], struct.unpack_from("<I", start, place + 4)[0]
    name = start[place + 4 :][:short] if short else start[place + 8 :][:length]
    return name.decode("ascii"), shape
