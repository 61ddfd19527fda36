"""Boxes in units of the image that they lie in, whatever it is padded to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid


def image_scales(sizes: Sequence[Grid], device: torch.device) -> Tensor:
    """`(B, 4)`: width, height, width, height of each image of (height, width) px, float.

    A relative box times its image's row is in pixels.
    """
    return torch.tensor([[width, height, width, height] for height, width in sizes], dtype=torch.float32, device=device)
