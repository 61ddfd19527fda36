"""Trans2Seg's decoder, against torch's attention, Pillow's resizing and the published formula step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.census import take_census
from dit_bench.models.segmenters.prototype_decoder import MapMlp, PrototypeAttention, PrototypeBlock

GRID = (2, 3)


def _tokens() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 5, 8), torch.randn(2, 6, 8)


@torch.no_grad()
def test_attention_equals_torchs_and_shows_its_scores() -> None:
    prototypes, cells = _tokens()
    module = PrototypeAttention(8, 2)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.in_proj_weight.copy_(torch.cat((module.queries.weight, module.keys_values.weight)))
    theirs.out_proj.load_state_dict(module.output.state_dict())
    found, scores = module(prototypes, cells)
    expected, weights = theirs(prototypes, cells, cells, average_attn_weights=False)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(scores.softmax(dim=-1).transpose(1, 2), weights)
    keys = module.keys_values(cells)[..., :4]
    by_hand = torch.einsum("bkd,bnd->bkn", module.queries(prototypes)[..., :4], keys) / 2
    torch.testing.assert_close(scores[:, :, 0], by_hand)


def test_attention_has_a_closed_form() -> None:
    with torch.device("meta"):
        census = take_census(PrototypeAttention(8, 2), torch.zeros(3, 5, 8), torch.zeros(3, 6, 8))
    assert census.terms["attention"] == 3 * 2 * 5 * 6 * 8
    assert census.macs == 3 * (2 * 5 * 6 * 8 + 2 * 5 * 64 + 6 * 128)
    assert census.unexplained == []


def _mlp(module: Any, tokens: Tensor) -> Tensor:
    hidden = functional.gelu(functional.linear(tokens, module.fc1.weight, module.fc1.bias))
    return functional.linear(hidden, module.fc2.weight, module.fc2.bias)


def _norm(tokens: Tensor) -> Tensor:
    return functional.layer_norm(tokens, tokens.shape[-1:])


@torch.no_grad()
def test_a_block_doubles_what_others_add_to_their_input() -> None:
    prototypes, cells = _tokens()
    block: Any = PrototypeBlock(8, 2, 3, GRID)
    found, scores = block.attention(_norm(prototypes), _norm(cells))
    found, doubled, scores = 2 * found, 2 * cells, 2 * scores
    expected = (
        found + _mlp(block.prototype_mlp, _norm(found)),
        doubled + _mlp(block.cell_mlp, _norm(doubled)),
        scores + _mlp(block.map_mlp.mlp, _norm(scores)),
    )
    for own, other in zip(block(prototypes, cells, GRID), expected, strict=True):
        torch.testing.assert_close(own, other)
    assert block.map_mlp.mlp.fc1.weight.shape == (18, 6)
    assert block.cell_mlp.fc1.weight.shape == block.prototype_mlp.fc1.weight.shape == (24, 8)


def _pillow(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Each map `(h, w)` of `(..., h, w)` resized with Pillow's bilinear filter, which sees every pixel."""
    resized = [
        np.asarray(Image.fromarray(one.numpy()).resize((size[1], size[0]), Image.Resampling.BILINEAR))
        for one in maps.flatten(0, -3)
    ]
    return torch.from_numpy(np.stack(resized)).view(*maps.shape[:-2], *size)


@pytest.mark.parametrize("grid", [(2, 9), (12, 4), (3, 3), (5, 7)])
@torch.no_grad()
def test_an_mlp_over_the_map_serves_other_grids(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module: Any = MapMlp((4, 5))
    scores = torch.randn(2, 3, 2, *grid)
    trained = _pillow(scores, (4, 5)).flatten(-2)
    expected = _pillow(_mlp(module.mlp, _norm(trained)).unflatten(-1, (4, 5)), grid)
    torch.testing.assert_close(module(scores.flatten(-2), grid), expected.flatten(-2), atol=1e-5, rtol=1e-5)


def test_a_turned_grid_of_as_many_cells_is_another_grid() -> None:
    torch.manual_seed(0)
    module, scores = MapMlp(GRID), torch.randn(1, 1, 1, 6)
    assert not torch.allclose(module(scores, (3, 2)), module(scores, GRID))
