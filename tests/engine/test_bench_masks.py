"""Controlled keep ratios: exact counts, the spread that was asked for, the same masks every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dit_bench.engine.bench_masks import controlled_masks, everything, image_ratios, kept_shares
from dit_bench.engine.bench_networks import Conditions, controlled_model
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT

SIZE = (64, 96)
TOKENS = (16 * 24, 8 * 12, 4 * 6, 2 * 3)


@pytest.fixture(scope="module")
def diagonal() -> DiT:
    return controlled_model("dit_nano", "diagonal", Conditions(torch.device("cpu"), compile=False))


@pytest.fixture(scope="module")
def fully() -> DiT:
    return controlled_model("dit_nano", "fully", Conditions(torch.device("cpu"), compile=False))


def test_ratios_have_the_mean_and_the_ends_that_were_asked_for() -> None:
    assert image_ratios(0.5, 0.3, 1) == [0.5]
    assert image_ratios(0.5, 0.0, 3) == [0.5] * 3
    assert image_ratios(0.5, 0.4, 4) == pytest.approx([0.35, 0.45, 0.55, 0.65])
    assert image_ratios(0.9, 1.0, 2) == pytest.approx([0.45, 1.0])


def test_every_node_keeps_the_share_of_its_image(diagonal: DiT, fully: DiT) -> None:
    masks = controlled_masks(diagonal, SIZE, 4, keep=0.5, spread=0.4)
    assert set(masks) == {(i, i) for i in range(4)}
    for (scale, _), mask in masks.items():
        assert mask.dtype == torch.bool
        expected = [round(ratio * TOKENS[scale]) for ratio in (0.35, 0.45, 0.55, 0.65)]
        assert mask.sum(dim=1).tolist() == expected
    assert set(controlled_masks(fully, SIZE, 1, keep=0.5)) == {(i, j) for i in range(4) for j in range(4)}
    assert all(bool(mask.all()) for mask in everything(fully, SIZE, 2).values())


def test_masks_are_random_but_the_same_for_a_seed(diagonal: DiT) -> None:
    first, again, other = (controlled_masks(diagonal, SIZE, 2, keep=0.5, seed=seed)[0, 0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    # Chosen from everywhere: half of the tokens in each half of the grid, within four standard deviations.
    assert abs(int(first[0, :192].sum()) - 96) < 4 * np.sqrt(384 / 16)


def test_kept_shares_are_read_from_the_ledger(fully: DiT) -> None:
    images = torch.zeros(2, 3, *SIZE)
    fully.mask_override = controlled_masks(fully, SIZE, 2, keep=0.25, spread=1.0)
    with torch.no_grad():
        _, trace = fully(images, with_trace=True)
    fully.mask_override = None
    shares = kept_shares(fully, Ledger.read(trace, fully.costs(SIZE)), SIZE)
    whole_tokens = [np.mean([round(ratio * tokens) / tokens for tokens in TOKENS]) for ratio in (0.125, 0.375)]
    # With patch embeddings in all columns every scale is live in every stage.
    assert shares.tolist() == pytest.approx(whole_tokens)
