"""ADE20K folders in small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Writer = Callable[..., Path]


@pytest.fixture
def write_pair() -> Writer:
    """Write a picture of noise and its label image of blocks into a folder's split; returns the label image's path."""

    def write(
        root: Path, part: str, name: str, size: tuple[int, int], values: np.ndarray | None = None, classes: int = 4
    ) -> Path:
        rng = np.random.default_rng(sum(name.encode()))
        paths = root / "images" / part / f"{name}.jpg", root / "annotations" / part / f"{name}.png"
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(paths[0])
        if values is None:
            blocks = rng.integers(0, classes + 1, (4, 5), dtype=np.uint8)
            values = np.kron(blocks, np.ones((size[0] // 4 + 1, size[1] // 5 + 1), np.uint8))[: size[0], : size[1]]
        Image.fromarray(values).save(paths[1])
        return paths[1]

    return write


@pytest.fixture
def small(tmp_path: Path, write_pair: Writer) -> Path:
    """11 training and 3 validation images of different sizes, labels 0 … 4."""
    root = tmp_path / "ADEChallengeData2016"
    for k in range(1, 12):
        write_pair(root, "training", f"ADE_train_{k:08d}", (40 + 3 * k, 90) if k % 3 else (80, 41 + k))
    for k, size in enumerate([(30, 50), (50, 30), (64, 64)], start=1):
        write_pair(root, "validation", f"ADE_val_{k:08d}", size)
    return root
