"""Swin on images of any size, against torchvision's Swin, which also pads before it shifts."""

import re
from typing import Any

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor
from torchvision.models.swin_transformer import SwinTransformer as OtherSwin

from dit_bench.cost.counter import counted_macs
from dit_bench.models.pyramid.swin import window_maps

WIDTH, DEPTHS, HEADS = 8, (2, 4), (1, 2)


def _swin() -> SwinTransformer:
    return SwinTransformer(
        img_size=56,
        embed_dim=WIDTH,
        depths=DEPTHS,
        num_heads=HEADS,
        drop_path_rate=0.0,
        num_classes=0,
        strict_img_size=False,
        always_partition=True,
    ).eval()


_RULES = (
    (r"^features\.0\.0\.", "patch_embed.proj."),
    (r"^features\.0\.2\.", "patch_embed.norm."),
    (r"^features\.1\.", "layers.0.blocks."),
    (r"^features\.2\.", "layers.1.downsample."),
    (r"^features\.3\.", "layers.1.blocks."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
)


def _timm_key(key: str) -> str:
    for pattern, replacement in _RULES:
        key = re.sub(pattern, replacement, key)
    return key


def _pair() -> tuple[SwinTransformer, OtherSwin]:
    torch.manual_seed(0)
    other = OtherSwin([4, 4], WIDTH, list(DEPTHS), list(HEADS), [7, 7], stochastic_depth_prob=0.0).eval()
    for name, parameter in other.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.2)
    model = _swin()
    weights = {_timm_key(key): tensor for key, tensor in other.state_dict().items()}
    known = {key: tensor for key, tensor in weights.items() if key in model.state_dict() and not key.startswith("norm")}
    found = model.load_state_dict(known, strict=False)
    assert set(found.missing_keys) <= {"norm.weight", "norm.bias"}
    return model, other


def _other_maps(other: OtherSwin, pixels: Tensor) -> list[Tensor]:
    layers: Any = other.features
    maps, tokens = [], pixels
    for number, layer in enumerate(layers):
        tokens = layer(tokens)
        if number in (1, 3):
            maps.append(tokens)
    return maps


@pytest.mark.parametrize("size", [(112, 168), (64, 96), (100, 136)], ids=["whole windows", "padded", "odd"])
@torch.no_grad()
def test_maps_equal_torchvisions(size: tuple[int, int]) -> None:
    model, other = _pair()
    pixels = torch.randn(2, 3, *size)
    own, expected = window_maps(model, pixels), _other_maps(other, pixels)
    assert expected[1].abs().max() > 1
    for one, two in zip(own, expected, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_cost_counts_whole_windows() -> None:
    """A map of 24x20 cells has 4x3 windows of 49 tokens at the first stage, 12x10 has 2x2 at the second."""
    with torch.device("meta"):
        model, pixels = _swin(), torch.zeros(1, 3, 96, 80)
    expected = 480 * 48 * WIDTH + 120 * (4 * WIDTH) * (2 * WIDTH)
    for width, cells, windows, depth in ((WIDTH, 480, 12, 2), (2 * WIDTH, 120, 4, 4)):
        attention = windows * (49 * 4 * width**2 + 2 * 49**2 * width)
        expected += depth * (attention + cells * 8 * width**2)
    assert counted_macs(lambda: window_maps(model, pixels)) == expected
