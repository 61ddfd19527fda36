"""Trans2Seg's decoder: one prototype per class attends to the map, and its scores become the mask (arXiv 2101.08461).

As in the authors' code, also where it differs from a transformer's habits, see `PrototypeBlock`.
"""

from __future__ import annotations

from typing import Any

from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.attention import register_attention
from dit_bench.cost.formulas import Grid, attention_macs

MAP_MLP_RATIO = 3


class PrototypeAttention(nn.Module):
    """Attention of class prototypes to the cells of a map, whose scores are a result of their own."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        assert width % num_heads == 0, f"width {width}, {num_heads} heads"
        self.num_heads, self.scale = num_heads, (width // num_heads) ** -0.5
        self.queries = nn.Linear(width, width, bias=False)
        self.keys_values = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width)

    def forward(self, prototypes: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """What prototypes `(B, K, C)` found in cells `(B, N, C)`; the scores before softmax `(B, K, heads, N)`."""
        query = self.queries(prototypes).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        keys, values = self.keys_values(cells).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        scores = (query @ keys.transpose(2, 3)) * self.scale
        found = scores.softmax(dim=-1) @ values
        return self.output(found.transpose(1, 2).flatten(2)), scores.transpose(1, 2)


def prototype_attention_macs(module: PrototypeAttention, inputs: tuple[Any, ...], output: Any) -> int:
    """Both products between K prototypes and N cells of width C: B · 2 K N C."""
    batch, prototypes, width = inputs[0].shape
    return batch * attention_macs(prototypes, inputs[1].shape[1], width)


register_attention(PrototypeAttention, prototype_attention_macs)


class MapMlp(nn.Module):
    """An MLP over the cells of a score map, normalised over them: its size is bound to the grid of training.

    On another grid, as test images have, the map is resized bilinearly to the grid of training for the MLP, and what
    the MLP adds is resized back; the map itself keeps its resolution.
    """

    def __init__(self, grid: Grid):
        super().__init__()
        self.grid = grid
        num_cells = grid[0] * grid[1]
        self.norm = nn.LayerNorm(num_cells)
        self.mlp = Mlp(num_cells, MAP_MLP_RATIO * num_cells)

    def forward(self, scores: Tensor, grid: Grid) -> Tensor:
        """`(B, K, heads, N)` → the same, N the cells of a (height, width) grid."""
        if grid == self.grid:
            return self.mlp(self.norm(scores))
        return _resized(self.mlp(self.norm(_resized(scores, grid, self.grid))), self.grid, grid)


def _resized(scores: Tensor, grid: Grid, size: Grid) -> Tensor:
    """Maps `(B, K, heads, N)` from one grid to another; every cell of the finer one counts."""
    maps = scores.float().flatten(1, 2).unflatten(2, grid)
    maps = functional.interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=True)
    return maps.flatten(2).unflatten(1, scores.shape[1:3])


class PrototypeBlock(nn.Module):
    """Attention from prototypes to cells, then an MLP each for prototypes, cells and scores, pre-norm.

    Where a residual connection would add the input of the attention, the published code adds each of the three to
    itself. And it computes all three in every block, though the last block's scores are all that is read in the end:
    MLPs that get no gradient are in the published parameters and costs.
    """

    def __init__(self, width: int, num_heads: int, mlp_ratio: int, grid: Grid):
        super().__init__()
        self.norm_prototypes, self.norm_cells = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = PrototypeAttention(width, num_heads)
        self.prototype_norm, self.prototype_mlp = nn.LayerNorm(width), Mlp(width, mlp_ratio * width)
        self.cell_norm, self.cell_mlp = nn.LayerNorm(width), Mlp(width, mlp_ratio * width)
        self.map_mlp = MapMlp(grid)

    def forward(self, prototypes: Tensor, cells: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Prototypes `(B, K, C)`, cells `(B, N, C)` and score maps `(B, K, heads, N)` from the first two."""
        found, scores = self.attention(self.norm_prototypes(prototypes), self.norm_cells(cells))
        prototypes, cells, scores = 2 * found, 2 * cells, 2 * scores
        prototypes = prototypes + self.prototype_mlp(self.prototype_norm(prototypes))
        cells = cells + self.cell_mlp(self.cell_norm(cells))
        return prototypes, cells, scores + self.map_mlp(scores, grid)
