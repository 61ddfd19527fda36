"""Weights into networks: official layouts of the families, strictly, and nothing resampled on the way."""

import copy
import functools
import re
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn as timm_vit_filter
from torch import Tensor, nn

import dit_bench.models.dit.registry
import dit_bench.models.pvt  # noqa: F401
from dit_bench.errors import WeightsError
from dit_bench.models.dit.options import RoutingOptions
from dit_bench.models.weights import load_into

Weights = dict[str, Tensor]


@functools.cache
def _built(name: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(name, num_classes=10).eval()


def build(name: str, seed: int = 2) -> nn.Module:
    """A network of its own; drawing one at random is slow, copying it is not."""
    return copy.deepcopy(_built(name, seed))


def official_pvt_v2(timm_weights: Weights) -> Weights:
    """Key by key as in the table of the official files: stages count from 1, norms and embeddings stand outside."""
    official = {}
    for key, tensor in timm_weights.items():
        key = key.replace("patch_embed.", "patch_embed1.").replace("mlp.dwconv.", "mlp.dwconv.dwconv.")
        for stage in range(4):
            key = key.replace(f"stages.{stage}.downsample.", f"patch_embed{stage + 1}.")
            key = key.replace(f"stages.{stage}.blocks.", f"block{stage + 1}.")
            key = key.replace(f"stages.{stage}.norm.", f"norm{stage + 1}.")
        official[key] = tensor
    return official


def official_swin(timm_weights: Weights, model: nn.Module) -> Weights:
    """Down-sampling belongs to the stage before it, the head is one layer, index and mask buffers are saved."""
    official = {}
    for key, tensor in timm_weights.items():
        found = re.match(r"layers\.(\d)\.downsample\.(.*)", key)
        if found:
            key = f"layers.{int(found[1]) - 1}.downsample.{found[2]}"
        official[key.replace("head.fc.", "head.")] = tensor
    buffers = {key: buffer for key, buffer in model.named_buffers() if key.endswith(("_index", "attn_mask"))}
    assert len(buffers) == 12 + 5  # every attention has its index; every second block of stages 1 to 3 its mask
    return {**official, **buffers}


TNT_NAMES = {
    "pixel_embed": "patch_embed",
    "patch_pos": "outer_pos",
    "pixel_pos": "inner_pos",
    "norm1_proj": "proj_norm1",
    "norm2_proj": "proj_norm2",
    "norm_in": "inner_norm1",
    "attn_in": "inner_attn",
    "norm_mlp_in": "inner_norm2",
    "mlp_in": "inner_mlp",
    "norm_out": "outer_norm1",
    "attn_out": "outer_attn",
    "norm_mlp": "outer_norm2",
    "mlp": "outer_mlp",
}


def official_tnt(timm_weights: Weights) -> Weights:
    """Inner and outer instead of pixel and patch, the inner positions as (1, words, width)."""
    official = {}
    for key, tensor in timm_weights.items():
        parts = key.split(".")
        place = 2 if parts[0] == "blocks" else 0
        parts[place] = TNT_NAMES.get(parts[place], parts[place])
        official[".".join(parts)] = tensor.flatten(2).transpose(1, 2).contiguous() if key == "pixel_pos" else tensor
    return {**official, "outer_tokens": torch.zeros(1, 196, 384)}


def official(name: str, model: nn.Module) -> Weights:
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    if name.startswith("pvt"):
        return official_pvt_v2(weights)
    if name.startswith("swin"):
        return official_swin(weights, model)
    if name.startswith("tnt"):
        return official_tnt(weights)
    return weights


SIZES_PX = {
    "pvt_v2_b0": 64,
    "pvt_v2_b2_li": 64,
    "deit_tiny_patch16_224": 224,
    "deit_tiny_distilled_patch16_224": 224,
    "swin_tiny_patch4_window7_224": 224,
    "tnt_s_patch16_224": 224,
    "resnet18": 64,
}


OWN_LAYOUT_TOO = ("pvt_v2_b0", "swin_tiny_patch4_window7_224")


@pytest.mark.parametrize(
    ("name", "layout"), [*((name, "official") for name in SIZES_PX), *((name, "own") for name in OWN_LAYOUT_TOO)]
)
def test_round_trip(name: str, layout: str) -> None:
    reference, model = build(name, seed=1), build(name)
    weights = official(name, reference) if layout == "official" else reference.state_dict()
    images = torch.randn(1, 3, SIZES_PX[name], SIZES_PX[name])
    with torch.no_grad():
        expected = reference(images)
        assert not torch.allclose(model(images), expected, atol=1e-3)
        load_into(model, weights, "w.pth")
        assert torch.equal(model(images), expected)


def test_official_pvt_v2_keys() -> None:
    """The names themselves, as the official files have them."""
    keys = set(official_pvt_v2(build("pvt_v2_b0").state_dict()))
    assert {"patch_embed1.proj.weight", "patch_embed4.norm.bias", "norm4.weight", "head.bias"} <= keys
    assert {"block1.0.attn.sr.weight", "block4.1.mlp.dwconv.dwconv.bias", "block2.1.attn.kv.weight"} <= keys


@pytest.mark.parametrize("layout", ["official", "timm"])
def test_pvt_v2_weights_on_the_diagonal_of_dit(layout: str) -> None:
    reference = build("pvt_v2_nano")
    nn.init.normal_(reference.get_parameter("head.weight"))
    weights = reference.state_dict() if layout == "timm" else official_pvt_v2(reference.state_dict())
    model = timm.create_model("dit_nano", num_classes=10, routing=RoutingOptions(variant="diagonal")).eval()
    load_into(model, weights, "w.pth")
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = reference(images)
        assert expected.abs().max() > 0.5
        torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=0)


def test_dit_takes_its_own_weights() -> None:
    reference, model = build("dit_nano", seed=1), build("dit_nano")
    load_into(model, reference.state_dict(), "w.safetensors")
    assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in reference.state_dict().items())


def refused(model: nn.Module, weights: Weights) -> str:
    """What the refusal says; checks that nothing was copied."""
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"w\.pth holds weights of another architecture") as refusal:
        load_into(model, weights, "w.pth")
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    return refusal.value.message


DAMAGED = ("pvt_v2_nano", "dit_nano", "resnet10t", "deit_tiny_patch16_224")


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "type", "classes"])
def test_one_wrong_key_is_named_and_nothing_is_copied(name: str, change: str) -> None:
    source = build(name.replace("dit_", "pvt_v2_"), seed=1)
    weights = official(source.__class__.__name__.lower(), source)
    key = next(key for key in weights if key.endswith("weight") and weights[key].dim() > 1)
    if change == "missing":
        del weights[key]
        expected = f"1 missing: missing {key}"
    elif change == "unexpected":
        weights["surprise"] = torch.zeros(1)
        expected = "1 unexpected: unexpected surprise"
    elif change == "shape":
        weights[key] = torch.zeros(3, 3)
        expected = f"1 of another shape or type: {key} is (3, 3), expected {tuple(source.state_dict()[key].shape)}"
    elif change == "type":
        weights[key] = weights[key].long()
        expected = f"1 of another shape or type: {key} is torch.int64, expected torch.float32"
    else:
        head = next(key for key in weights if key.endswith(("head.bias", "fc.bias")))
        weights[head] = torch.zeros(1000)
        expected = f"1 of another shape or type: {head} is (1000,), expected (10,)"
    assert expected in refused(build(name), weights)


def test_all_problems_are_counted_and_ten_listed() -> None:
    model = build("deit_tiny_patch16_224")
    weights = build("resnet10t").state_dict()
    common = set(weights) & set(model.state_dict())
    assert not common
    missing, unexpected = len(model.state_dict()), len(weights)
    message = refused(model, weights)
    assert f"({missing} missing, {unexpected} unexpected: " in message
    assert len(re.findall(r"(?<=[:;] )missing \S+;", message)) == 10
    assert f"; and {missing + unexpected - 10} more)" in message


def test_keys_of_a_hostile_file_cannot_garble_the_terminal() -> None:
    weights = {**build("resnet10t", seed=1).state_dict(), "\x1b[31m\n" + "x" * 10_000: torch.ones(1)}
    message = refused(build("resnet10t"), weights)
    assert message.isprintable()
    assert len(message) < 400


def test_position_tables_of_another_input_size_are_not_resampled() -> None:
    model: Any = build("deit_tiny_patch16_224")
    weights = {**build("deit_tiny_patch16_224", seed=1).state_dict(), "pos_embed": torch.randn(1, 24 * 24 + 1, 192)}
    resampled = timm_vit_filter(dict(weights), model)["pos_embed"]
    assert resampled.shape == model.pos_embed.shape, "the danger is real: timm would"
    assert "(1 of another shape or type: pos_embed is (1, 577, 192), expected (1, 197, 192))" in refused(model, weights)


def test_patch_embeddings_of_another_size_are_not_resampled() -> None:
    model = build("deit_tiny_patch16_224")
    weights = {
        **build("deit_tiny_patch16_224", seed=1).state_dict(),
        "patch_embed.proj.weight": torch.randn(192, 3, 32, 32),
    }
    assert "patch_embed.proj.weight is (192, 3, 32, 32), expected (192, 3, 16, 16))" in refused(model, weights)


def test_bias_tables_of_another_window_are_not_resampled() -> None:
    name = "swin_tiny_patch4_window7_224"
    weights = official(name, build(name, seed=1))
    key = "layers.1.blocks.0.attn.relative_position_bias_table"
    weights[key] = torch.randn(23 * 23, 6)
    assert f"(1 of another shape or type: {key} is (529, 6), expected (169, 6))" in refused(build(name), weights)


def test_renamed_tables_of_another_input_size_are_not_resampled() -> None:
    weights = official("tnt_s_patch16_224", build("tnt_s_patch16_224", seed=1))
    weights["outer_pos"] = torch.randn(1, 24 * 24 + 1, 384)
    message = refused(build("tnt_s_patch16_224"), weights)
    assert "patch_pos cannot be had by renaming alone, expected (1, 197, 384)" in message


def test_only_buffers_that_the_network_declares_are_passed_over() -> None:
    name = "swin_tiny_patch4_window7_224"
    weights = official(name, build(name, seed=1))
    weights["layers.0.blocks.7.attn_mask"] = torch.zeros(1)
    assert "(1 unexpected: unexpected layers.0.blocks.7.attn_mask)" in refused(build(name), weights)
    plain, weights = build("deit_tiny_patch16_224"), build("deit_tiny_patch16_224", seed=1).state_dict()
    for key in ("attn_mask", "outer_tokens"):
        assert f"(1 unexpected: unexpected {key})" in refused(plain, {**weights, key: torch.zeros(1)})


@pytest.mark.parametrize("name", ["pvt_v2_nano", "dit_nano"])
def test_two_tensors_for_one_key_are_refused(name: str) -> None:
    timm_weights = build("pvt_v2_nano", seed=1).state_dict()
    weights = official_pvt_v2(timm_weights)
    weights["stages.1.blocks.0.norm1.weight"] = torch.full((32,), 7.0)
    assert "unexpected" in refused(build(name), weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", ["pvt_v2_nano", "dit_nano"])
def test_other_number_formats_become_the_networks(name: str, dtype: torch.dtype) -> None:
    reference, model = build("pvt_v2_nano", seed=1), build(name)
    load_into(model, {key: tensor.to(dtype) for key, tensor in reference.state_dict().items()}, "w.pth")
    got = model.state_dict()["head.weight"]
    assert got.dtype == torch.float32
    assert torch.equal(got, reference.state_dict()["head.weight"].to(dtype).float())


def test_files_from_before_batch_counters() -> None:
    reference, model = build("resnet10t", seed=1), build("resnet10t")
    old = {key: value for key, value in reference.state_dict().items() if not key.endswith("num_batches_tracked")}
    load_into(model, old, "w.pth")
    assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in old.items())
    halved = {**old, "bn1.num_batches_tracked": torch.tensor(0)}
    assert "missing layer1.0.bn1.num_batches_tracked" in refused(model, halved)
