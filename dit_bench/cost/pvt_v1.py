"""Closed-form MACs of PVT v1, in the convention of `formulas`: patch cells without padding, a class token at the end.

Only the last scale has the class token, so only its blocks work on h · w + 1 tokens (PVT §4.1).
"""

from __future__ import annotations

from dit_bench.cost.formulas import Grid, PyramidShape, attention_macs, conv_macs, head_macs, linear_macs

PATCH_SIZES_PX = (4, 2, 2, 2)
"""Side of a patch at each scale, in cells of the map below it (in pixels at the first)."""


def pvt_v1_grids(shape: PyramidShape, image_size: Grid) -> list[Grid]:
    """Token grids of all scales for an image of (height, width) pixels: floor(side / patch), the rest is cut."""
    grids: list[Grid] = []
    height, width = image_size
    for patch in PATCH_SIZES_PX[: shape.num_scales]:
        height, width = height // patch, width // patch
        grids.append((height, width))
    return grids


def spatial_reduction_products_macs(tokens: int, grid: Grid, reduction: int, width: int) -> int:
    """MACs of both attention products of one block (PVT Eq. 2-4): 2 · tokens · keys · width.

    Keys are floor(h / R) · floor(w / R) reduced cells; without reduction (R = 1) they are the tokens themselves.
    """
    keys = tokens if reduction == 1 else (grid[0] // reduction) * (grid[1] // reduction)
    return attention_macs(tokens, keys, width)


def pvt_v1_block_macs(shape: PyramidShape, scale: int, grid: Grid, class_tokens: int) -> int:
    """MACs of one block: q and output 2C² per token, feed-forward 2CD per token, 2C² per key, reduction, products."""
    width, hidden, reduction = shape.embed_dims[scale], shape.hidden_dim(scale), shape.sr_ratios[scale]
    assert reduction == 1 or not class_tokens, "a class token has no place on the grid that is reduced"
    tokens = grid[0] * grid[1] + class_tokens
    reduced = (grid[0] // reduction, grid[1] // reduction)
    keys = tokens if reduction == 1 else reduced[0] * reduced[1]
    return (
        2 * linear_macs(tokens, width, width)
        + linear_macs(keys, width, 2 * width)
        + (conv_macs(reduced, reduction, width, width) if reduction > 1 else 0)
        + spatial_reduction_products_macs(tokens, grid, reduction, width)
        + 2 * linear_macs(tokens, width, hidden)
    )


def pvt_v1_macs(shape: PyramidShape, image_size: Grid, num_classes: int) -> int:
    """MACs of the classifier for one image of (height, width) pixels; the head reads the class token alone."""
    return _pyramid_macs(shape, image_size, class_tokens=1) + head_macs(shape, num_classes)


def pvt_v1_dense_macs(shape: PyramidShape, image_size: Grid) -> int:
    """MACs of the four maps for dense prediction: no class token, no head (PVT §4.2)."""
    return _pyramid_macs(shape, image_size, class_tokens=0)


def _pyramid_macs(shape: PyramidShape, image_size: Grid, class_tokens: int) -> int:
    total, channels, last = 0, shape.in_chans, shape.num_scales - 1
    for scale, grid in enumerate(pvt_v1_grids(shape, image_size)):
        total += conv_macs(grid, PATCH_SIZES_PX[scale], channels, shape.embed_dims[scale])
        block = pvt_v1_block_macs(shape, scale, grid, class_tokens if scale == last else 0)
        total += shape.depths[scale] * block
        channels = shape.embed_dims[scale]
    return total
