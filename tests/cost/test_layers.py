"""Closed forms and elements of single layers, by hand, and against what torch dispatches."""

from __future__ import annotations

import pytest
import torch
from timm.layers import Attention
from timm.models.pvt_v2 import Attention as PyramidAttention
from timm.models.swin_transformer import WindowAttention
from timm.models.tnt import Attention as PixelAttention
from torch import nn

from dit_bench.cost.attention import attention_formula, register_attention
from dit_bench.cost.census import take_census
from dit_bench.cost.counter import counted_macs
from dit_bench.cost.layers import layer_elements

MATRIX_LAYERS = [
    # 9x7 with stride (2, 1) and padding (1, 2) becomes 5x7; 2 images · 35 cells · 15 taps · 4/2 · 6.
    (nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), groups=2), (2, 4, 9, 7), 12_600, 2 * 6 * 35),
    (nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), (1, 8, 10, 12), 120 * 9 * 8, 0),
    (nn.Conv2d(3, 4, 3, dilation=2), (3, 8, 8), 16 * 9 * 3 * 4, 4 * 16),  # no batch dimension
    (nn.Conv1d(2, 3, 4), (1, 2, 10), 7 * 4 * 2 * 3, 3 * 7),
    (nn.Conv3d(2, 3, (1, 2, 3)), (1, 2, 4, 5, 6), 4 * 4 * 4 * 6 * 2 * 3, 3 * 64),
    # Transposed: each of the 5x4 input cells · 6 taps · 6/2 · 4.
    (nn.ConvTranspose2d(6, 4, (2, 3), stride=2, groups=2), (1, 6, 5, 4), 20 * 6 * 3 * 4, 4 * 10 * 9),
    (nn.Linear(5, 7), (2, 3, 5), 6 * 5 * 7, 6 * 7),
    (nn.Linear(5, 7, bias=False), (5,), 5 * 7, 0),
]


@pytest.mark.parametrize(
    ("layer", "shape", "macs", "bias_elements"),
    MATRIX_LAYERS,
    ids=[f"{type(layer).__name__}{shape}" for layer, shape, _, _ in MATRIX_LAYERS],
)
def test_matrix_layers(layer: nn.Module, shape: tuple[int, ...], macs: int, bias_elements: int) -> None:
    census = take_census(layer, torch.zeros(shape))
    assert (census.closed_form_macs, census.dispatched_macs, census.unexplained) == (macs, macs, [])
    term = f"layer.{'linear' if isinstance(layer, nn.Linear) else 'conv'}_bias"
    assert census.terms[term] == bias_elements
    assert census.terms[term.replace("layer", "call")] == bias_elements


ATTENTIONS = {
    "global": (lambda: Attention(8, num_heads=2), (2, 5, 8), None, 2 * 2 * 25 * 8),
    "global, wide heads": (lambda: Attention(8, num_heads=2, attn_head_dim=6), (2, 5, 8), None, 2 * 2 * 25 * 12),
    "pyramid": (lambda: PyramidAttention(8, 2), (1, 35, 8), [5, 7], 2 * 35 * 35 * 8),
    # 5x7 reduced by 2 leaves 2x3 keys.
    "pyramid, reduced": (lambda: PyramidAttention(8, 2, sr_ratio=2), (3, 35, 8), [5, 7], 3 * 2 * 35 * 6 * 8),
    "pyramid, linear": (lambda: PyramidAttention(8, 2, linear_attn=True), (1, 140, 8), [14, 10], 2 * 140 * 49 * 8),
    "window": (lambda: WindowAttention(8, 2, window_size=3), (4, 9, 8), None, 4 * 2 * 81 * 8),
    "window, wide heads": (lambda: WindowAttention(8, 2, 6, window_size=3), (4, 9, 8), None, 4 * 2 * 81 * 12),
    "pixel, narrow keys": (lambda: PixelAttention(12, 8, num_heads=4), (3, 5, 12), None, 3 * 25 * (8 + 12)),
}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_products(name: str, device: str) -> None:
    build, shape, grid, macs = ATTENTIONS[name]
    module = build().to(device)
    census = take_census(module, torch.zeros(shape, device=device), *([grid] if grid else []))
    assert census.terms["attention"] == macs
    assert census.unexplained == []
    assert census.without_formula == 0
    fused = getattr(module, "fused_attn", False)
    assert census.terms["fused_attention"] == (macs if fused else 0)


def test_a_subclass_of_an_attention_has_its_formula_and_no_class_gets_two() -> None:
    class Ours(WindowAttention):
        pass

    assert attention_formula(Ours) is attention_formula(WindowAttention) is not None
    assert attention_formula(nn.MultiheadAttention) is None
    with pytest.raises(AssertionError, match="WindowAttention has a formula"):
        register_attention(WindowAttention, lambda module, inputs, output: 0)


ELEMENTS = [
    (nn.BatchNorm2d(4), (2, 4, 3, 3), {"layer.batch_norm": 72}),
    (nn.BatchNorm2d(4, affine=False), (2, 4, 3, 3), {"layer.batch_norm.plain": 72}),
    (nn.SyncBatchNorm(4), (2, 4, 3, 3), {"layer.sync_batch_norm": 72}),
    (nn.LayerNorm(4), (2, 3, 4), {"layer.layer_norm": 24}),
    (nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4), {"layer.layer_norm.plain": 24}),
    (nn.GroupNorm(2, 4), (1, 4, 3, 3), {"layer.group_norm": 36}),
    (nn.InstanceNorm2d(4), (1, 4, 3, 3), {"layer.instance_norm.plain": 36}),
    (nn.ReLU(), (2, 5), {"layer.relu": 10}),
    (nn.ReLU6(), (2, 5), {"layer.relu": 10}),
    (nn.GELU(), (2, 5), {"layer.gelu": 10}),
    (nn.SiLU(), (2, 5), {"layer.activation": 10}),
    (nn.MaxPool2d(2), (1, 3, 4, 6), {"layer.pool": 72}),  # the input, not the output
    (nn.AdaptiveAvgPool2d(1), (1, 3, 4, 6), {"layer.adaptive_pool": 72}),
    (nn.Upsample(scale_factor=2), (1, 3, 4, 6), {"layer.upsample": 288}),  # the output
    (nn.Identity(), (2, 5), {}),
]


@pytest.mark.parametrize(
    ("layer", "shape", "elements"), ELEMENTS, ids=[f"{layer}{list(terms)}" for layer, _, terms in ELEMENTS]
)
def test_elements(layer: nn.Module, shape: tuple[int, ...], elements: dict[str, int]) -> None:
    given = torch.zeros(shape)
    assert layer_elements(layer.eval(), (given,), layer(given)) == elements


def test_the_counter_sees_into_multi_head_attention_on_the_cpu() -> None:
    """Its fast path is one kernel that torch's counter takes for free."""
    module = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    tokens = torch.zeros(1, 5, 8)
    assert counted_macs(lambda: module(tokens, tokens, tokens)) == 5 * 8 * 8 * 4 + 2 * 25 * 8
    assert torch.backends.mha.get_fastpath_enabled()
