"""The maps of MViTv2 for detection: hybrid window attention (Li et al., 2022, "Hybrid window attention").

timm's layers and parameters with a walk of our own. Every block attends inside windows of 56 cells of the finest map,
and of half as many at each coarser scale, but for the last block of the second, third and fourth stage, which attends
to the whole map; there the keys of the second and third stage are pooled twice as coarsely. Windows are cut from the
pooled maps. Tables of relative positions are resized to the grids of queries and keys.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.models.mvitv2 import MultiScaleVit
from torch import Tensor

from dit_bench.cost.formulas import Grid

WINDOW_CELLS = 56
"""Side of a window on the finest map; that of a whole map in training on ImageNet."""


def coarsen_global_keys(model: MultiScaleVit) -> None:
    """Double, in place, the pooling strides of keys and values in the two blocks that see a whole fine map."""
    stages: Any = model.stages
    for stage in stages[1:3]:
        attention = stage.blocks[-1].attn
        for pool in (attention.pool_k, attention.pool_v):
            pool.stride = tuple(2 * stride for stride in pool.stride)


def multi_scale_maps(model: MultiScaleVit, pixels: Tensor) -> list[Tensor]:
    """Maps `(B, H_i, W_i, C_i)` of all stages, before any norm, of images `(B, 3, H, W)`."""
    maps: list[Tensor] = []
    stages: Any = model.stages
    tokens, grid = model.patch_embed(pixels)
    cells = tokens.unflatten(1, tuple(grid))
    for number, stage in enumerate(stages):
        for block in stage.blocks:
            whole = number > 0 and block is stage.blocks[-1]
            cells = _block(block, cells, None if whole else WINDOW_CELLS >> number)
        maps.append(cells)
    return maps


def _block(block: Any, cells: Tensor, window: int | None) -> Tensor:
    """One block on `(B, H, W, C)`; `window` is the side of a window of queries, None for the whole map."""
    normed = block.norm1(cells)
    beside = cells if block.shortcut_proj_attn is None else block.shortcut_proj_attn(normed)
    if block.shortcut_pool_attn is not None:
        beside = block.shortcut_pool_attn(beside.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    cells = beside + block.drop_path1(_attend(block.attn, normed, window))
    normed = block.norm2(cells)
    beside = cells if block.shortcut_proj_mlp is None else block.shortcut_proj_mlp(normed)
    return beside + block.drop_path2(block.mlp(normed))


def _attend(attention: Any, cells: Tensor, window: int | None) -> Tensor:
    """Pooling attention with the pooled queries added to its result."""
    heads = attention.num_heads
    # (3, B · heads, d, H, W)
    parts = attention.qkv(cells).unflatten(3, (3, heads, -1)).permute(3, 0, 4, 5, 1, 2).flatten(1, 2)
    pools = ("pool_q", "norm_q"), ("pool_k", "norm_k"), ("pool_v", "norm_v")
    queries, keys, values = (
        getattr(attention, norm)(getattr(attention, pool)(part).permute(0, 2, 3, 1))
        for (pool, norm), part in zip(pools, parts, strict=True)
    )
    grid = (queries.shape[1], queries.shape[2])
    if window is None:
        mixed = _mix(attention, queries, keys, values)
    else:
        key_window = window * attention.pool_q.stride[0] // attention.pool_k.stride[0]
        mixed = _mix(attention, _cut(queries, window), _cut(keys, key_window), _cut(values, key_window))
        mixed = _join(mixed, window, grid)
    if attention.residual_pooling:
        mixed = mixed + queries
    return attention.proj(mixed.unflatten(0, (-1, heads)).permute(0, 2, 3, 1, 4).flatten(3))


def _mix(attention: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(Q K' / √d + position) V for maps `(n, h, w, d)`."""
    positions = [
        _relative(table, queries.shape[axis], keys.shape[axis])
        for axis, table in ((1, attention.rel_pos_h), (2, attention.rel_pos_w))
    ]
    rows = torch.einsum("nhwd,hkd->nhwk", queries, positions[0])
    columns = torch.einsum("nhwd,wkd->nhwk", queries, positions[1])
    scores = (queries * attention.scale).flatten(1, 2) @ keys.flatten(1, 2).transpose(1, 2)
    bias = rows.unsqueeze(4) + columns.unsqueeze(3)
    weights = (scores + bias.flatten(3).flatten(1, 2)).softmax(dim=-1)
    return (weights @ values.flatten(1, 2)).unflatten(1, queries.shape[1:3])


def _relative(table: Tensor, queries: int, keys: int) -> Tensor:
    """Vectors `(queries, keys, d)` of the distances along one axis; distances are in cells of the finer of both."""
    distances = 2 * max(queries, keys) - 1
    if len(table) != distances:
        table = F.interpolate(table.T.unsqueeze(0), size=distances, mode="linear").squeeze(0).T
    query_step, key_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    query = torch.arange(queries, device=table.device) * query_step
    key = torch.arange(keys, device=table.device) * key_step
    return table[(query[:, None] - key + (keys - 1) * key_step).long()]


def _cut(cells: Tensor, window: int) -> Tensor:
    """Windows `(n · windows, M, M, d)` of maps `(n, h, w, d)`, padded with zeros to whole windows."""
    height, width = cells.shape[1:3]
    cells = F.pad(cells, (0, 0, 0, -width % window, 0, -height % window))
    cells = cells.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    return cells.transpose(2, 3).flatten(0, 2)


def _join(windows: Tensor, window: int, grid: Grid) -> Tensor:
    """Maps `(n, h, w, d)` from their windows."""
    rows, columns = -(-grid[0] // window), -(-grid[1] // window)
    cells = windows.unflatten(0, (-1, rows, columns)).transpose(2, 3)
    return cells.flatten(3, 4).flatten(1, 2)[:, : grid[0], : grid[1]]
