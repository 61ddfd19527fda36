"""What pictures of detections and of segments have in common: where tokens of the picture went, and which to draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RoutedPicture:
    """One picture in its own size, and its route."""

    image: np.ndarray
    """uint8 (H, W, 3)."""
    kept: dict[tuple[int, int], np.ndarray]
    """`kept[scale, stage]`: bool (h, w) of the network's input; empty for a backbone without a routing grid."""
    live: np.ndarray
    """bool (N, M)."""
    network_input: np.ndarray
    """uint8 (h, w, 3): the picture as resized, and padded where it was, which the grid covers."""
    gmacs: float
    title: str


def spread_indices(num_images: int, count: int) -> list[int]:
    """At most `count` indices, evenly spread over a data set."""
    return sorted({round(k) for k in np.linspace(0, num_images - 1, min(count, num_images))})
