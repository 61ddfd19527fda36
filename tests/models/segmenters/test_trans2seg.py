"""Trans2Seg: torch's encoder, positions of any grid, parameters and cost of the published size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.census import Census
from dit_bench.models.pyramid.cost_parts import head_census
from dit_bench.models.segmenters.trans2seg import Trans2Seg

PVT_WIDTHS = [64, 128, 320, 512]
RESNET_WIDTHS, RESNET_STRIDES = [256, 512, 1024, 2048], (4, 8, 16, 16)


def _small(**options: Any) -> Any:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"width": 8, "depth": 2, "num_heads": 2, "mask_width": 4, "crop_px": 96, **options}
    return Trans2Seg([4, 4, 4, 6], 5, **settings).eval()


def _maps(height_px: int = 96, width_px: int = 96) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, w, height_px // s, width_px // s) for w, s in zip((4, 4, 4, 6), (4, 8, 16, 32), strict=True)]


@torch.no_grad()
def test_the_encoder_is_torchs_pre_norm_transformer() -> None:
    segmenter = _small()
    tokens = torch.randn(2, 1 + 9, 8)
    expected = tokens
    for block in segmenter.encoder:
        theirs = nn.TransformerEncoderLayer(8, 2, 24, 0.0, functional.gelu, batch_first=True, norm_first=True)
        theirs.self_attn.in_proj_weight.copy_(block.attn.qkv.weight)
        nn.init.zeros_(theirs.self_attn.in_proj_bias)
        for own, other in (
            (block.attn.proj, theirs.self_attn.out_proj),
            (block.mlp.fc1, theirs.linear1),
            (block.mlp.fc2, theirs.linear2),
        ):
            other.load_state_dict(own.state_dict())
        # In training mode, without dropout, torch takes no fast path.
        expected = theirs.train()(expected)
    for block in segmenter.encoder:
        tokens = block(tokens)
    torch.testing.assert_close(tokens, expected)


@torch.no_grad()
def test_logits_are_made_step_by_step() -> None:
    """Positions added with the class token, which is dropped again; prototypes added before each block."""
    segmenter, maps = _small(), _maps()
    cells = segmenter.projection(maps[-1].permute(0, 2, 3, 1).reshape(2, 9, 6))
    table = segmenter.positions[0, 1:].view(32, 32, 8).permute(2, 0, 1)[None]
    positions = functional.interpolate(table, (3, 3), mode="bilinear")[0].permute(1, 2, 0).reshape(9, 8)
    token = segmenter.class_token + segmenter.positions[:, :1]
    encoded = torch.cat((token.repeat(2, 1, 1), cells + positions), dim=1)
    for block in segmenter.encoder:
        encoded = block(encoded)
    encoded = segmenter.norm(encoded)[:, 1:]
    learned = segmenter.prototypes.repeat(2, 1, 1)
    first, second = segmenter.decoder
    found, decoded, _ = first(learned, encoded, (3, 3))
    _, _, scores = second(found + learned, decoded, (3, 3))
    expected = segmenter.masks(maps[0], encoded.mT.reshape(2, 8, 3, 3), scores.reshape(2, 5, 2, 3, 3))
    torch.testing.assert_close(segmenter(maps, (96, 96)), expected)


@torch.no_grad()
def test_learned_positions_serve_their_own_grid_as_they_are() -> None:
    segmenter = _small(crop_px=1024)
    assert segmenter._positions((32, 32)) is segmenter.positions
    positions = segmenter._positions((64, 32))
    torch.testing.assert_close(positions[:, :1], segmenter.positions[:, :1])
    table = segmenter.positions[0, 1:].view(32, 32, 8)
    wide = positions[0, 1:].view(64, 32, 8)
    torch.testing.assert_close(wide[1], 0.75 * table[0] + 0.25 * table[1])


@pytest.mark.parametrize("crop_px", [64, 96, 100])
def test_the_grid_of_training_comes_from_the_crop(crop_px: int) -> None:
    side = {64: 4, 96: 6, 100: 7}[crop_px]
    segmenter = _small(crop_px=crop_px, strides=(4, 8, 16, 16))
    assert [block.map_mlp.grid for block in segmenter.decoder] == [(side, side)] * 2


def _counted(widths: list[int], strides: tuple[int, ...] = (4, 8, 16, 32)) -> Census:
    with torch.device("meta"):
        return head_census(Trans2Seg(widths, 150, strides=strides), (512, 512), strides)


def _layer_params(census: Census) -> int:
    """Of convolutions, linear layers and batch norms, as the paper's counter had it."""
    kept = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    return sum(layer.params for layer in census.layers if issubclass(layer.cls, kept))


def _expected_layer_params(coarse: int, fine: int, cells: int) -> int:
    width, ratio, masks = 256, 3, 64
    mlp = 2 * ratio * width**2 + (ratio + 1) * width
    map_mlp = 2 * ratio * cells**2 + (ratio + 1) * cells
    encoder = 3 * width**2 + width**2 + width + mlp
    decoder = 3 * width**2 + width**2 + width + 2 * mlp + map_mlp
    separable = [(width + 8) * (9 + 2 + masks) + 2 * masks, *[masks * (9 + 2 + masks) + 2 * masks] * 2]
    mask_head = sum(separable) + fine * masks + 2 * masks + masks + 1
    return coarse * width + width + 4 * (encoder + decoder) + mask_head


def _expected_macs(coarse: int, fine: int, cells: int, fine_cells: int = 128**2, num_classes: int = 150) -> int:
    width, ratio, masks = 256, 3, 64
    mlp = 2 * ratio * width**2
    tokens = cells + 1
    encoder = tokens * (4 * width**2 + mlp) + 2 * tokens**2 * width
    projections = (2 * num_classes + 2 * cells) * width**2
    decoder = projections + 2 * num_classes * cells * width + (num_classes + cells) * mlp
    decoder += num_classes * 8 * 2 * ratio * cells**2
    coarse_head = num_classes * cells * ((width + 8) * (9 + masks) + masks * (9 + masks))
    fine_head = fine_cells * fine * masks + num_classes * fine_cells * (masks * (9 + masks) + masks)
    return cells * coarse * width + 4 * (encoder + decoder) + coarse_head + fine_head


@pytest.mark.parametrize(
    ("widths", "strides", "cells"),
    [(PVT_WIDTHS, (4, 8, 16, 32), 256), (RESNET_WIDTHS, RESNET_STRIDES, 1024)],
    ids=["PVT", "ResNet-50-d16"],
)
def test_parameters_and_cost(widths: list[int], strides: tuple[int, ...], cells: int) -> None:
    census = _counted(widths, strides)
    assert _layer_params(census) == _expected_layer_params(widths[-1], widths[0], cells)
    assert census.macs == _expected_macs(widths[-1], widths[0], cells)
    assert census.unexplained == []
    assert census.without_formula == 0


def test_initialisation() -> None:
    segmenter = _small(width=256, num_heads=8)
    for values in (segmenter.positions, segmenter.prototypes, segmenter.projection.weight):
        assert values.std().item() == pytest.approx(0.02, rel=0.1)
    assert not segmenter.projection.bias.any()
