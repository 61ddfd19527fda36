"""The detectors by name: every name that a recipe may use, and their published widths."""

from typing import get_args

import pytest
import torch

from dit_bench.models.detectors.registry import DETECTORS, PUBLISHED_WIDTHS, build_detector
from dit_bench.recipes.dense_settings import DetectorName

WIDTHS = [64, 128, 320, 512]


def test_recipes_know_exactly_these() -> None:
    assert get_args(DetectorName) == tuple(DETECTORS)
    assert set(PUBLISHED_WIDTHS) == set(DETECTORS)


@pytest.mark.parametrize("name", DETECTORS)
def test_published_widths_are_the_detectors_own(name: str) -> None:
    with torch.device("meta"):
        built, default = build_detector(name, WIDTHS, 80), DETECTORS[name](WIDTHS, 80)
    assert type(built) is DETECTORS[name]
    assert [p.shape for p in built.parameters()] == [p.shape for p in default.parameters()]


@pytest.mark.parametrize("name", DETECTORS)
def test_narrower_detectors_count_and_have_fewer_parameters(name: str) -> None:
    with torch.device("meta"):
        full, narrow = build_detector(name, WIDTHS, 3), build_detector(name, WIDTHS, 3, width_divisor=8)
        narrow([torch.zeros(1, width, 32 // 2**i, 32 // 2**i) for i, width in enumerate(WIDTHS)], (128, 128))
    assert sum(p.numel() for p in narrow.parameters()) < 0.3 * sum(p.numel() for p in full.parameters())
