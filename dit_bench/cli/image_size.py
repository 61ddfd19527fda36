"""The command line's input sizes: `224` for a square, `800x1280` for height x width."""

from __future__ import annotations

import re
from typing import Any

import click

Side = tuple[int, int]
"""Height and width in pixels."""


class ImageSize(click.ParamType):
    """`PIXELS` or `HEIGHTxWIDTH`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Side:
        """Height and width; refuses anything else."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d+)(?:[x×](\d+))?", str(value).strip())
        sides = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if min(sides) < 1:
            self.fail(f"'{value}' is no input size: write 224, or 800x1280 for height x width", param, ctx)
        return sides


IMAGE_SIZE = ImageSize()
