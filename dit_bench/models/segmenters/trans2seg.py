"""Trans2Seg (arXiv 2101.08461), the medium size with encoder, as the segmenter of PVT Table 7.

The parameters that the table prints for PVT-Small fit it exactly. The configuration was never published, and no form of
the head costs as little as is printed: 31.6 GFLOPs, of which the backbone alone takes 19.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers import trunc_normal_
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import Grid
from dit_bench.models.pyramid.backbones import STRIDES
from dit_bench.models.segmenters.base import Segmenter
from dit_bench.models.segmenters.mask_head import MaskHead
from dit_bench.models.segmenters.prototype_decoder import PrototypeBlock

POSITION_GRID = (32, 32)


class Trans2Seg(Segmenter):
    """A transformer on the coarsest map, a decoder of one prototype per class, and a mask head with the finest map.

    The decoder's MLPs over score maps are as large as the coarsest map of a training crop of `crop_px` pixels.
    """

    def __init__(
        self,
        widths: list[int],
        num_classes: int,
        *,
        width: int = 256,
        depth: int = 4,
        num_heads: int = 8,
        mlp_ratio: int = 3,
        mask_width: int = 64,
        strides: Sequence[int] = STRIDES,
        crop_px: int = 512,
    ):
        super().__init__(widths, num_classes)
        side = -(-crop_px // strides[-1])
        self.projection = nn.Linear(widths[-1], width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + POSITION_GRID[0] * POSITION_GRID[1], width))
        self.encoder = nn.ModuleList(Block(width, num_heads, mlp_ratio, norm_layer=nn.LayerNorm) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.prototypes = nn.Parameter(torch.empty(1, num_classes, width))
        self.decoder = nn.ModuleList(PrototypeBlock(width, num_heads, mlp_ratio, (side, side)) for _ in range(depth))
        self.masks = MaskHead(widths[0], width, num_heads, mask_width)
        for tokens in (self.class_token, self.positions, self.prototypes):
            trunc_normal_(tokens, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def logits(self, maps: list[Tensor]) -> Tensor:
        """See `Segmenter`."""
        grid = (maps[-1].shape[2], maps[-1].shape[3])
        cells = self._encode(maps[-1].flatten(2).transpose(1, 2), grid)
        scores = self._score(cells, grid)
        return self.masks(maps[0], cells.transpose(1, 2).unflatten(2, grid), scores.unflatten(3, grid))

    def _encode(self, cells: Tensor, grid: Grid) -> Tensor:
        """Encoded cells `(B, N, width)` from those of the coarsest map `(B, N, C)`."""
        cells = self.projection(cells)
        tokens = torch.cat((self.class_token.expand(len(cells), -1, -1), cells), dim=1) + self._positions(grid)
        for block in self.encoder:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:]

    def _positions(self, grid: Grid) -> Tensor:
        """The learned positions of the class token and of the cells of any grid, `(1, 1 + N, width)`."""
        if grid == POSITION_GRID:
            return self.positions
        of_token, of_cells = self.positions.split((1, POSITION_GRID[0] * POSITION_GRID[1]), dim=1)
        table = of_cells.transpose(1, 2).unflatten(2, POSITION_GRID)
        table = functional.interpolate(table, size=grid, mode="bilinear", align_corners=False)
        return torch.cat((of_token, table.flatten(2).transpose(1, 2)), dim=1)

    def _score(self, cells: Tensor, grid: Grid) -> Tensor:
        """Score maps `(B, K, heads, N)` of every class, those of the last block."""
        learned = self.prototypes.expand(len(cells), -1, -1)
        found, scores = torch.zeros_like(learned), None
        for block in self.decoder:
            found, cells, scores = block(found + learned, cells, grid)
        assert scores is not None
        return scores
