"""Reading one picture from a file."""

from pathlib import Path

import numpy as np
from PIL import Image

from dit_bench.errors import DataError


def read_image(path: str | Path) -> np.ndarray:
    """Return a picture as uint8 RGB (H, W, 3); grey, palette and CMYK files are converted.

    Raises:
        DataError: the file is missing, truncated or no picture; the message names it.
    """
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except FileNotFoundError as error:
        raise DataError(f"image {path} does not exist") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, ValueError and more
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"cannot read image {path}: {reason}", remedy="restore or replace the file") from error
