"""Label images: PNG files with the number of a class in each pixel."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dit_bench.errors import DataError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8s4x4sIIBB")
"""Signature, length of the first chunk (skipped), its type, width, height, bits per channel, kind of colour."""
_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with transparency", 6: "RGB with transparency"}
_REMEDY = "a label image has one byte per pixel, the number of its class, as grey or as place in a palette"


@dataclass(frozen=True)
class LabelHeader:
    """What the header of a PNG says."""

    height: int
    width: int
    bits: int
    """Per channel."""
    kind: str
    """`grey`, `palette`, `RGB`, …"""


def read_header(path: Path) -> LabelHeader:
    """Return what the header of a PNG says, without decoding it.

    Pillow's own header would not do: it stretches grey values of two and four bits to 0 … 255 without a word.

    Raises:
        DataError: the file is missing, cut short, or no PNG; the message names it.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER.size)
    except OSError as error:
        raise DataError(f"cannot read label image {path}: {error.strerror}", remedy="restore the file") from error
    if len(start) < _HEADER.size:
        raise DataError(
            f"label image {path} is cut short, it has {len(start)} bytes", remedy="restore or replace the file"
        )
    signature, chunk, width, height, bits, kind = _HEADER.unpack(start)
    if signature != _SIGNATURE or chunk != b"IHDR" or kind not in _KINDS or not (width and height):
        raise DataError(f"label image {path} is no PNG, whatever its name says", remedy=_REMEDY)
    return LabelHeader(height, width, bits, _KINDS[kind])


def check_header(path: Path, header: LabelHeader) -> None:
    """Check that the pixels are numbers of classes.

    Palettes are taken as Pascal VOC means them: the place in the palette is the class, its colour is for the eye.

    Raises:
        DataError: the file holds colours, or grey values of another depth than 8 bits.
    """
    if header.kind not in ("grey", "palette"):
        raise DataError(f"label image {path} holds colours ({header.kind}), not numbers of classes", remedy=_REMEDY)
    if header.kind == "grey" and header.bits != 8:
        raise DataError(f"label image {path} has {header.bits} bits per pixel instead of 8", remedy=_REMEDY)


def read_label_image(path: Path) -> np.ndarray:
    """Return the values of a label image as they stand in the file, uint8 (H, W).

    Raises:
        DataError: the file is missing, damaged, or holds something else; the message names it.
    """
    check_header(path, read_header(path))
    try:
        with Image.open(path) as picture:
            values = np.array(picture)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, ValueError and more
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"cannot read label image {path}: {reason}", remedy="restore or replace the file") from error
    assert values.dtype == np.uint8
    assert values.ndim == 2
    return values
