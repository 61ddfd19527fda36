"""Relative boxes become pixels of the image before padding."""

from __future__ import annotations

import torch

from dit_bench.models.detectors.relative_boxes import image_scales


def test_sizes_are_height_and_width_boxes_x_and_y() -> None:
    scales = image_scales([(100, 200), (30, 50)], torch.device("cpu"))
    relative = torch.tensor([0.25, 0.5, 0.75, 1.0])
    assert (relative * scales).tolist() == [[50, 50, 150, 100], [12.5, 15, 37.5, 30]]
