"""The detectors by name: every name that a recipe may use, and their published widths."""

from typing import get_args

import pytest
import torch

from dit_bench.models.detectors.registry import DETECTORS, PUBLISHED_WIDTHS, QUERIES, build_detector
from dit_bench.recipes.dense_settings import WITH_QUERIES, DetectorName

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


@torch.no_grad()
@pytest.mark.parametrize("name", QUERIES)
def test_queries_are_as_many_as_are_asked_for(name: str) -> None:
    """One learned vector each; the rest of the detector does not know their number."""
    with torch.device("meta"):
        published, few = build_detector(name, WIDTHS, 3), build_detector(name, WIDTHS, 3, num_queries=7)
    assert {"sparse_rcnn": 300, "detr": 100}[name] in {p.shape[0] for p in published.parameters()}
    other = [(a.shape, b.shape) for a, b in zip(published.parameters(), few.parameters(), strict=True)]
    changed = [pair for pair in other if pair[0] != pair[1]]
    assert changed
    assert all(few_shape[0] == 7 and full[1:] == few_shape[1:] for full, few_shape in changed)


def test_what_recipes_say_has_queries_has_a_number_of_them() -> None:
    assert set(QUERIES) == set(WITH_QUERIES)
