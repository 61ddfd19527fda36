"""The input at which the cost of a row is counted."""

from __future__ import annotations

from dit_bench.recipes.resolve import ResolvedRow


def counting_size(row: ResolvedRow) -> tuple[int, int]:
    """Height and width in pixels: in the profile of the paper those that it counted at, if its recipe names them.

    Else the square that images have when they reach the network.
    """
    printed = row.row.counted_at_px or row.recipe.recipe.counted_at_px
    if row.profile == "paper" and printed is not None:
        height, width = printed
        return height, width
    settings = row.settings
    sides_px = {
        "classification": settings.data.image_size_px,
        "detection": settings.detection.test_short_side_px,
        "segmentation": settings.segmentation.test_short_side_px,
    }
    side_px = sides_px[settings.task]
    return side_px, side_px
