"""The segmenters by name: every name that a recipe may use, and their published widths."""

from typing import get_args

import pytest
import torch

from dit_bench.models.segmenters.registry import PUBLISHED_WIDTHS, SEGMENTERS, build_segmenter
from dit_bench.models.segmenters.trans2seg import Trans2Seg
from dit_bench.recipes.dense_settings import PLAIN_VIT_SEGMENTERS, SegmenterName

WIDTHS = [64, 128, 320, 512]


def test_recipes_know_exactly_these() -> None:
    assert get_args(SegmenterName) == (*SEGMENTERS, *PLAIN_VIT_SEGMENTERS)
    assert set(PUBLISHED_WIDTHS) == set(SEGMENTERS)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_published_widths_are_the_segmenters_own(name: str) -> None:
    with torch.device("meta"):
        built, default = build_segmenter(name, WIDTHS, 150), SEGMENTERS[name](WIDTHS, 150)
    assert type(built) is SEGMENTERS[name]
    assert [p.shape for p in built.parameters()] == [p.shape for p in default.parameters()]


@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("name", SEGMENTERS)
def test_narrower_segmenters_score_every_cell_and_have_fewer_parameters(name: str, divisor: int) -> None:
    with torch.device("meta"):
        full = build_segmenter(name, WIDTHS, 3, crop_px=64)
        narrow = build_segmenter(name, WIDTHS, 3, crop_px=64, width_divisor=divisor).eval()
        scores = narrow([torch.zeros(1, width, 16 >> i, 32 >> i) for i, width in enumerate(WIDTHS)], (64, 128))
    assert scores.shape == (1, 3, 16, 32)
    sizes = [sum(p.numel() for p in head.parameters()) for head in (narrow, full)]
    assert sizes[0] * divisor <= sizes[1]


def test_crop_and_strides_reach_trans2seg() -> None:
    with torch.device("meta"):
        segmenter = build_segmenter("trans2seg", WIDTHS, 3, strides=(4, 8, 16, 16), crop_px=128)
    assert isinstance(segmenter, Trans2Seg)
    assert segmenter.decoder[0].map_mlp.grid == (8, 8)  # type: ignore[union-attr]
