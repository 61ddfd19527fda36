"""CvT against the library's own forward and printed cost; what the wrapper changes: stochastic depth, the interface."""

import sys
from typing import Any

import pytest
import timm
import torch

from dit_bench.cost.attention import attention_formula
from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import Grid, attention_macs
from dit_bench.errors import MissingExtraError
from dit_bench.models.cvt import ConvolutionalVisionTransformer

TINY = (1, 2, 3)


def _build(name: str = "cvt_13", **arguments: Any) -> Any:
    return timm.create_model(name, **arguments).eval()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"needs the package transformers.*pip install 'dit-bench\[cvt\]'"):
        _build()


def test_pretrained_weights_and_maps_are_refused() -> None:
    with pytest.raises(RuntimeError, match="cvt_21: pretrained weights are not downloaded"):
        _build("cvt_21", pretrained=True)
    with pytest.raises(RuntimeError, match="cvt_13: feature maps"):
        _build(features_only=True)


@pytest.fixture
def library() -> Any:
    return pytest.importorskip("transformers")


# DiT Table 1 prints 20.0 M and 4.5 G, 32.0 M and 7.1 G.
@pytest.mark.parametrize(("name", "parameters_m", "gmacs"), [("cvt_13", 19.997, 4.566), ("cvt_21", 31.623, 7.178)])
def test_known_values_without_memory(library: Any, name: str, parameters_m: float, gmacs: float) -> None:
    with torch.device("meta"):
        model = _build(name)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == parameters_m
    assert round(counted_macs(lambda: model(torch.zeros(1, 3, 224, 224, device="meta"))) / 1e9, 3) == gmacs


@torch.no_grad()
def test_logits_and_keys_are_the_librarys(library: Any) -> None:
    torch.manual_seed(0)
    config = library.CvtConfig(depth=[1, 2, 10], num_labels=11)
    reference = library.CvtForImageClassification(config).eval()
    for parameter in reference.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.02)
    model = _build(num_classes=11, drop_path_rate=0.1, drop_rate=0.1)
    model.load_state_dict(reference.state_dict())
    images = torch.randn(2, 3, 64, 96)
    expected = reference(images).logits
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(model(images), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(model.forward_head(model.forward_features(images)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("image_size", [(224, 224), (97, 131)])
@torch.no_grad()
def test_attention_products_equal_the_counter_to_the_integer(library: Any, image_size: Grid) -> None:
    """Per attention: what was dispatched, less its linear layers and convolutions, are the two products."""
    with torch.device("meta"):
        model = _build()
    calls: list[tuple[Any, tuple[Any, ...], Any]] = []
    for module in model.modules():
        if attention_formula(type(module)) is not None:
            module.register_forward_hook(lambda *call: calls.append(call))
    model(torch.zeros(2, 3, *image_size, device="meta"))
    assert len(calls) == 13
    for attention, inputs, output in list(calls):
        formula: Any = attention_formula(type(attention))
        assert formula(attention, inputs, output) == _dispatched_products(attention, inputs) > 0


def _dispatched_products(attention: Any, inputs: tuple[Any, ...]) -> int:
    children: list[int] = []

    def record(layer: Any, given: Any, output: torch.Tensor) -> None:
        per_output = layer.in_features if isinstance(layer, torch.nn.Linear) else layer.weight[0].numel()
        children.append(output.numel() * per_output)

    layers = [m for m in attention.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    dispatched = counted_macs(lambda: attention(*inputs))
    for hook in hooks:
        hook.remove()
    assert len(children) == 6
    return dispatched - sum(children)


def test_attention_products_by_hand(library: Any) -> None:
    with torch.device("meta"):
        model = _build()
    attention = model.cvt.encoder.stages[2].layers[0].attention.attention
    formula: Any = attention_formula(type(attention))
    tokens = torch.zeros(2, 1 + 7 * 6, 384, device="meta")
    # Keys: 3x3 windows of stride 2 on 7x6 cells with one cell of padding are 4x3, and the class token.
    assert formula(attention, (tokens, 7, 6), attention(tokens, 7, 6)) == 2 * attention_macs(43, 13, 384)


def test_drop_path_rises_over_the_last_stage_and_keeps_the_residual_path(library: Any) -> None:
    torch.manual_seed(0)
    model = ConvolutionalVisionTransformer(TINY, drop_path_rate=1.0).train()
    layers: Any = model.cvt.encoder.stages[2].layers
    rates = [[branch.dropout.drop_prob for branch in (layer.attention.output, layer.output)] for layer in layers]
    assert rates == [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    tokens = torch.randn(2, 1 + 4 * 4, 384)
    assert torch.equal(layers[2](tokens, 4, 4), tokens)
    assert not torch.equal(layers[0](tokens, 4, 4), tokens)
    assert [m for m in model.modules() if type(m).__name__ == "CvtDropPath"] == []


@torch.no_grad()
def test_interface(library: Any) -> None:
    model = ConvolutionalVisionTransformer(TINY, num_classes=0, in_chans=1).eval()
    images = torch.randn(2, 1, 64, 64)
    features = model(images)
    assert features.shape == (2, model.num_features)
    assert torch.equal(model.forward_head(features, pre_logits=True), features)
    model.reset_classifier(6)
    assert model.get_classifier() is model.classifier
    assert model(images).shape == (2, 6)
    assert model.no_weight_decay() == {"cvt.encoder.stages.2.cls_token"}
    config = timm.get_pretrained_cfg("cvt_21")
    assert config is not None
    assert (config.crop_pct, config.interpolation, config.fixed_input_size) == (0.875, "bicubic", False)
    for name in (config.first_conv, config.classifier):
        assert isinstance(name, str)
        model.get_submodule(name)
