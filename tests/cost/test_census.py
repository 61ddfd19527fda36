"""One pass over a network: closed forms against the dispatch, totals, parameters and the module tree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dit_bench.cost.census import Census, Mismatch, take_census
from dit_bench.cost.tree import ModuleNode, macs_by_kind, module_tree

CensusOf = Callable[..., Census]

TIMM_MODELS = (
    *("resnet18", "resnet50", "resnet101", "resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d"),
    *("deit_tiny_patch16_224", "deit_small_patch16_224", "deit_base_patch16_224", "vit_base_patch16_224"),
    *("tnt_s_legacy_patch16_224", "tnt_b_patch16_224"),
    *(f"swin_{size}_patch4_window7_224" for size in ("tiny", "small", "base")),
    *(f"pvt_v2_{size}" for size in ("b0", "b1", "b2", "b2_li", "b3", "b4", "b5")),
)


@pytest.mark.parametrize("name", TIMM_MODELS)
def test_closed_forms_equal_the_dispatch_to_the_integer(name: str, census_of: CensusOf) -> None:
    census = census_of(name)
    assert census.unexplained == []
    assert census.closed_form_macs == census.dispatched_macs == census.macs > 1e8
    assert census.without_formula == 0


@pytest.mark.parametrize("name", ["pvt_v2_b0", "pvt_v2_b2", "pvt_v2_b2_li", "resnet18"])
def test_closed_forms_hold_off_the_square(name: str, census_of: CensusOf) -> None:
    census = census_of(name, height=96, width=160)
    assert census.unexplained == []
    assert census.closed_form_macs == census.dispatched_macs > 0


def test_a_batch_costs_its_size_and_a_real_device_the_same(census_of: CensusOf) -> None:
    single = census_of("pvt_v2_b0", height=64, width=96)
    assert census_of("pvt_v2_b0", height=64, width=96, batch=3).macs == 3 * single.macs
    assert single.input_shapes == ((1, 3, 64, 96),)
    real = take_census(timm.create_model("pvt_v2_b0"), torch.zeros(1, 3, 64, 96))
    assert [(layer.path, layer.macs, layer.dispatched_macs) for layer in real.layers] == [
        (layer.path, layer.macs, layer.dispatched_macs) for layer in single.layers
    ]


class Tiny(nn.Module):
    """Stem 8x8 to 4x4, one layer used twice, a shared weight, a functional product, a resize, a spare layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.mix = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.mix.weight
        self.spare = nn.Linear(9, 9).requires_grad_(False)
        self.alias = self.mix

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(self.stem(image), scale_factor=2, mode="bilinear")
        x = x.flatten(2).transpose(1, 2)
        x = self.tied(self.alias(input=self.mix(x)))
        return x @ x.transpose(1, 2)


def test_a_tiny_network_by_hand() -> None:
    census = take_census(Tiny(), torch.zeros(1, 3, 8, 8))
    conv, linear, product = 16 * 9 * 3 * 4, 64 * 16 * 3, 64 * 64 * 4
    assert macs_by_kind(census) == {"conv": conv, "linear": linear, "attention": 0, "other": product}
    assert (census.closed_form_macs, census.without_formula) == (conv + linear, product)
    assert census.macs == census.dispatched_macs == conv + linear + product
    # 112 of the stem's convolution, 8 of its norm, 20 shared, 90 that are spare and frozen.
    assert (census.params, census.trainable_params) == (112 + 8 + 20 + 90, 112 + 8 + 20)
    assert census.buffers == 4 + 4 + 1
    assert {term: count for term, count in census.terms.items() if count and "." in term} == {
        "layer.conv_bias": 64,
        "call.conv_bias": 64,
        "layer.batch_norm": 64,
        "call.batch_norm": 64,
        "layer.relu": 64,
        "call.activation": 64,
        "call.upsample_bilinear": 256,
        "layer.linear_bias": 512,
        # The flattened map lies across the memory: torch adds the first bias after the product.
        "call.linear_bias.separate": 256,
        "call.linear_bias": 256,
    }
    found = {layer.path: layer for layer in census.layers}
    assert list(found) == ["", "stem", "stem.0", "stem.1", "stem.2", "mix", "tied", "spare"]
    assert (found["mix"].calls, found["mix"].macs, found["mix"].params) == (2, 2 * 64 * 16, 20)
    assert (found["tied"].params, found["tied"].macs) == (0, 64 * 16)
    assert (found["spare"].calls, found["spare"].macs) == (0, 0)
    assert (found[""].kind, found[""].dispatched_macs) == ("other", product)
    assert found[""].elements == {"call.upsample_bilinear": 256}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_multi_head_attention_is_covered_without_a_formula(device: str, batch_first: bool) -> None:
    module = nn.MultiheadAttention(8, 2, batch_first=batch_first, device=device).eval()
    tokens = torch.zeros((1, 5, 8) if batch_first else (5, 1, 8), device=device)
    census = take_census(module, tokens, tokens, tokens)
    assert census.macs == census.without_formula == 5 * 8 * 8 * 4 + 2 * 25 * 8
    assert census.closed_form_macs == 0


def test_functional_products_of_torchvision_swin_are_covered(census_of: CensusOf) -> None:
    census = census_of("swin_t", "torchvision")
    # timm's Swin-T is the same network and has closed forms for all of it.
    assert census.macs == census_of("swin_tiny_patch4_window7_224").closed_form_macs
    attention = [layer for layer in census.layers if layer.type_name == "ShiftedWindowAttention"]
    assert census.without_formula == sum(layer.dispatched_macs for layer in attention) > 0


def test_a_layer_that_does_more_than_its_closed_form_is_named() -> None:
    class Twice(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(super().forward(input))

    census = take_census(nn.Sequential(nn.Linear(4, 4), Twice(4, 4)), torch.zeros(3, 4))
    assert census.unexplained == [Mismatch("1", 3 * 16, 2 * 3 * 16)]
    assert (census.closed_form_macs, census.dispatched_macs) == (2 * 3 * 16, 3 * 3 * 16)


def test_the_model_is_left_as_it_was() -> None:
    class Breaks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("no such input")

    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.BatchNorm1d(2).eval(), Breaks())
    with pytest.raises(ValueError, match="no such input"):
        take_census(model, torch.zeros(3, 2))
    assert [module.training for module in model] == [True, True, False, True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled()
    # Nothing of the failed pass is left for the next one.
    assert take_census(model[:3], torch.zeros(3, 2)).macs == 3 * 4


def test_the_tree_rolls_up_as_torch_does() -> None:
    with torch.device("meta"):
        model, image = timm.create_model("pvt_v2_b0").eval(), torch.zeros(1, 3, 96, 160)
        census = take_census(model, image)
        with FlopCounterMode(display=False) as counter:
            model(image)
    tree = module_tree(census)
    flops = {path: sum(counts.values()) for path, counts in counter.get_flop_counts().items()}
    seen = set()

    def check(node: ModuleNode) -> None:
        module = model.get_submodule(node.path)
        if not isinstance(module, nn.ModuleList):  # these are never called, so that torch has no entry for them
            name = "PyramidVisionTransformerV2" + (f".{node.path}" if node.path else "")
            assert 2 * node.macs == flops.get(name, 0), name
        assert node.params == sum(param.numel() for param in module.parameters())
        assert node.type_name == type(module).__name__
        assert [child.name for child in node.children] == [name for name, _ in module.named_children()]
        seen.add(node.path)
        for child in node.children:
            check(child)

    check(tree)
    assert {"stages.2.blocks.0.attn.kv", "stages.2.blocks.1.mlp", "head"} <= seen
    assert sum(tree.macs_by_kind.values()) == tree.macs == census.macs
    assert tree.macs_by_kind == macs_by_kind(census)


def test_a_cut_tree_keeps_the_totals(census_of: CensusOf) -> None:
    census = census_of("resnet18")
    full, cut = module_tree(census), module_tree(census, depth=1)
    assert [child.children for child in cut.children] == [()] * len(full.children)
    assert [(child.path, child.macs, child.params) for child in cut.children] == [
        (child.path, child.macs, child.params) for child in full.children
    ]
    assert any(child.children for child in full.children)
    assert module_tree(census, depth=0).children == ()
    assert module_tree(census, depth=0).macs == census.macs
