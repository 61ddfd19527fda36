"""What stands on a backbone's maps: a neck and heads of any task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from dit_bench.cost.formulas import Grid


class PyramidHead(nn.Module, ABC):
    """Neck and heads for K classes over a backbone's four maps."""

    def __init__(self, widths: list[int], num_classes: int):
        super().__init__()
        self.widths, self.num_classes = list(widths), num_classes

    @abstractmethod
    def forward(self, maps: list[Tensor], padded_size: Grid) -> Any:
        """Compute all that one image of the padded size (height, width) in pixels costs; works on the meta device.

        `maps` are the backbone's `(B, C_i, H_i, W_i)`, all four whatever the head needs of them.
        """
