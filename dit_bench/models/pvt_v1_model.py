"""PVT v1 as a classifier and as a backbone (PVT §3, §4, Table 1), with timm's model interface.

The names of the parameters are those of the published checkpoints, so that these load strictly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import calculate_drop_path_rates, trunc_normal_
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from dit_bench.cost.formulas import Grid, PyramidShape
from dit_bench.cost.pvt_v1 import PATCH_SIZES_PX, pvt_v1_grids
from dit_bench.models.pvt_v1_layers import BLOCK_NORM_EPS, Block, PatchEmbed


class PyramidVisionTransformer(nn.Module):
    """PVT v1: four stages of non-overlapping patches, one learned position table each, class token in the last alone.

    It runs in two modes. As a classifier the last stage has the class token, which the head reads after the final norm
    (PVT §4.1). For dense prediction there is neither class token nor final norm: the maps are the stages' raw outputs
    (PVT §4.2). The position tables are made for `img_size` and resized for any other grid.
    """

    def __init__(
        self,
        shape: PyramidShape,
        *,
        img_size: int | Grid = 224,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "token",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        if global_pool not in ("token", ""):
            raise ValueError(f"global_pool must be 'token' or '', got '{global_pool}'")
        if shape.sr_ratios[-1] != 1:
            raise ValueError(f"the last stage holds the class token: its SR ratio must be 1, got {shape.sr_ratios[-1]}")
        self.shape = shape = replace(shape, in_chans=in_chans)
        self.num_classes, self.global_pool = num_classes, global_pool
        self.num_stages = shape.num_scales
        table_size = (img_size, img_size) if isinstance(img_size, int) else img_size
        self._refuse_too_small(*table_size)
        self.table_grids = pvt_v1_grids(shape, table_size)
        rates: Any = iter(calculate_drop_path_rates(drop_path_rate, sum(shape.depths)))
        for stage, grid in enumerate(self.table_grids):
            self._add_stage(stage, grid, rates)
        self.num_features = self.head_hidden_size = shape.embed_dims[-1]
        self.norm: nn.Module = nn.LayerNorm(self.num_features, eps=BLOCK_NORM_EPS)
        self.cls_token: nn.Parameter | None = nn.Parameter(torch.zeros(1, 1, self.num_features))
        self.head_drop = nn.Dropout(drop_rate)
        self.head = self._make_head()
        self.feature_info = [
            {"num_chs": width, "reduction": 4 * 2**stage, "module": f"block{stage + 1}"}
            for stage, width in enumerate(shape.embed_dims)
        ]
        self._init_weights()

    def _add_stage(self, stage: int, table_grid: Grid, rates: Iterator[float]) -> None:
        shape, number = self.shape, stage + 1
        below = shape.embed_dims[stage - 1] if stage else shape.in_chans
        width, cells = shape.embed_dims[stage], table_grid[0] * table_grid[1]
        if number == self.num_stages:
            cells += 1
        blocks = [
            Block(width, shape.num_heads[stage], shape.hidden_dim(stage), shape.sr_ratios[stage], next(rates))
            for _ in range(shape.depths[stage])
        ]
        self.add_module(f"patch_embed{number}", PatchEmbed(PATCH_SIZES_PX[stage], below, width))
        self.register_parameter(f"pos_embed{number}", nn.Parameter(torch.zeros(1, cells, width)))
        self.add_module(f"block{number}", nn.ModuleList(blocks))

    def _make_head(self) -> nn.Module:
        return nn.Linear(self.num_features, self.num_classes) if self.num_classes > 0 else nn.Identity()

    def _init_weights(self) -> None:
        """Truncated normal 0.02 for linear layers, position tables and class token; convolutions keep torch's own."""
        for name, parameter in self.named_parameters():
            if name.startswith("pos_embed") or name == "cls_token":
                trunc_normal_(parameter, std=0.02)
        self.apply(_init_linear)

    def forward_features(self, images: Tensor) -> Tensor:
        """Normalised tokens `(B, 1 + h · w, C)` of the last stage, class token first, of images `(B, 3, H, W)`.

        Raises ValueError for images that leave a stage without tokens or its attention without keys.
        """
        self._refuse_too_small(*images.shape[-2:])
        maps = images
        for stage in range(self.num_stages - 1):
            maps = self._stage_map(stage, maps)
        tokens, _ = self._stage_tokens(self.num_stages - 1, maps, with_class=self.cls_token is not None)
        return self.norm(tokens)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits `(B, num_classes)` from the class token of `(B, 1 + h · w, C)`."""
        if self.global_pool:
            features = features[:, 0]
        features = self.head_drop(features)
        return features if pre_logits else self.head(features)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, num_classes)` of images `(B, 3, H, W)`."""
        return self.forward_head(self.forward_features(images))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """The maps for dense prediction `(B, C_i, h_i, w_i)` of the stages asked for, without class token.

        `norm` applies the final norm to the last stage's map, the only one that it fits. Unless `intermediates_only`,
        what `forward_features` returns comes first; its last stage runs a second time, as the class token takes part
        in attention there. `stop_early` changes nothing: with `intermediates_only` no later stage is ever run.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', got '{output_fmt}'")
        take, deepest = feature_take_indices(self.num_stages, indices)
        self._refuse_too_small(*x.shape[-2:])
        last, taken = self.num_stages - 1, []
        entered = maps = x
        for stage in range(deepest + 1 if intermediates_only else self.num_stages):
            entered = maps
            if stage < last or stage in take:
                maps = self._stage_map(stage, entered, norm=norm and stage == last)
            if stage in take:
                taken.append(maps)
        if intermediates_only:
            return taken
        tokens, _ = self._stage_tokens(last, entered, with_class=self.cls_token is not None)
        return self.norm(tokens), taken

    def _stage_map(self, stage: int, maps: Tensor, norm: bool = False) -> Tensor:
        tokens, grid = self._stage_tokens(stage, maps, with_class=False)
        return (self.norm(tokens) if norm else tokens).transpose(1, 2).unflatten(2, grid)

    def _stage_tokens(self, stage: int, maps: Tensor, with_class: bool) -> tuple[Tensor, Grid]:
        """Tokens of a stage, and their grid, from the map below it."""
        tokens, grid = getattr(self, f"patch_embed{stage + 1}")(maps)
        if with_class:
            assert self.cls_token is not None
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(stage, grid, with_class)
        for block in getattr(self, f"block{stage + 1}"):
            tokens = block(tokens, grid)
        return tokens, grid

    def _positions(self, stage: int, grid: Grid, with_class: bool) -> Tensor:
        """The stage's position table, resized bilinearly unless its own grid is the one asked for."""
        table: Tensor = self.get_parameter(f"pos_embed{stage + 1}")
        # The grids decide, never the number of cells: 112x448 pixels have as many as 224x224, in another order.
        same = grid == self.table_grids[stage]
        if same and with_class:
            return table
        class_rows = int(stage == self.shape.num_scales - 1)
        class_row, cells = table[:, :class_rows], table[:, class_rows:]
        if not same:
            square = cells.transpose(1, 2).unflatten(2, self.table_grids[stage])
            square = F.interpolate(square, size=grid, mode="bilinear", align_corners=False)
            cells = square.flatten(2).transpose(1, 2)
        return torch.cat([class_row, cells], dim=1) if with_class else cells

    def _refuse_too_small(self, height: int, width: int) -> None:
        grids = pvt_v1_grids(self.shape, (height, width))[: self.num_stages]
        for stage, (grid, reduction) in enumerate(zip(grids, self.shape.sr_ratios, strict=False)):
            if min(grid) < reduction:
                raise ValueError(
                    f"images of {height}x{width} pixels are too small for PVT: stage {stage + 1} has a grid of "
                    f"{grid[0]}x{grid[1]} tokens and needs at least {reduction} on each side"
                )

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the maps of `indices` do not need; without its head the model has no use for a class token."""
        take, deepest = feature_take_indices(self.num_stages, indices)
        cut = deepest + 1 < self.num_stages
        for number in range(deepest + 2, self.num_stages + 1):
            for part in (f"patch_embed{number}", f"pos_embed{number}", f"block{number}"):
                delattr(self, part)
        self.num_stages = deepest + 1
        if prune_norm or cut:
            self.norm = nn.Identity()
        if prune_head or cut:
            self.cls_token = None
            self.reset_classifier(0, "")
        return take

    def get_classifier(self) -> nn.Module:
        """The head."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head; 0 classes leave the class token's features."""
        self.num_classes = num_classes
        if global_pool is not None:
            self.global_pool = global_pool
        self.head = self._make_head()

    def no_weight_decay(self) -> set[str]:
        """Names that must not be decayed: the class token; the position tables are decayed in the published recipe."""
        return {"cls_token"}


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
