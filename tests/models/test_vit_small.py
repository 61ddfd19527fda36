"""The ViT-Small of PVT Table 2: printed cost, the scale of its attention, input scales of Figure 6."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor

import dit_bench.models.vit_small  # noqa: F401
from dit_bench.cost.counter import counted_macs


def _build(name: str = "vit_small_patch16_pvt", **arguments: Any) -> Any:
    return timm.create_model(name, **arguments).eval()


def _macs(patch_px: int, side_px: int) -> int:
    """Patches; eight blocks: q, k, v and output 4C², both products, feed-forward 2C · 3C; the head on one token."""
    width, patches = 768, (side_px // patch_px) ** 2
    tokens = patches + 1
    block = 4 * tokens * width**2 + 2 * tokens**2 * width + 6 * tokens * width**2
    return patches * 3 * patch_px**2 * width + 8 * block + width * 1000


def test_table_2_prints_48_8_and_9_9() -> None:
    with torch.device("meta"):
        model = _build()
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == 48.754
    assert round(_macs(16, 224) / 1e9, 3) == 9.889
    assert counted_macs(lambda: model(torch.zeros(1, 3, 224, 224, device="meta"))) == _macs(16, 224)


@pytest.mark.parametrize("patch_px", [16, 32])
@pytest.mark.parametrize("side_px", [224, 640, 1280])
def test_input_scales_of_figure_6(patch_px: int, side_px: int) -> None:
    with torch.device("meta"):
        model = _build(f"vit_small_patch{patch_px}_pvt")
        counted = counted_macs(lambda: model(torch.zeros(1, 3, side_px, side_px)))
    assert counted == _macs(patch_px, side_px)


def test_definition() -> None:
    with torch.device("meta"):
        model = _build()
    assert len(model.blocks) == 8
    assert model.blocks[0].attn.num_heads == 8
    assert model.blocks[0].attn.qkv.bias is None
    assert model.blocks[0].attn.proj.bias is not None
    assert {m.eps for m in model.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-5}
    config = timm.get_pretrained_cfg("vit_small_patch32_pvt")
    assert config is not None
    assert (config.crop_pct, config.interpolation, config.fixed_input_size) == (0.875, "bicubic", False)


def _plain_attention(attention: Any, tokens: Tensor, scale: float) -> Tensor:
    query, key, value = attention.qkv(tokens).reshape(2, -1, 3, 8, 96).unbind(2)
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) * scale
    return attention.proj(torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), value).flatten(2))


@pytest.mark.parametrize(
    ("arguments", "scale"), [({}, 96**-0.5), ({"legacy_qk_scale": True}, 768**-0.5)], ids=["head width", "legacy"]
)
@torch.no_grad()
def test_attention_scores_have_the_scale(arguments: dict[str, Any], scale: float) -> None:
    """Also when timm's fused kernel, which takes the scale from the head width, is on."""
    torch.manual_seed(0)
    model = _build(depth=2, **arguments)
    tokens = torch.randn(2, 5, 768)
    for block in model.blocks:
        torch.nn.init.normal_(block.attn.qkv.weight, std=0.1)
        torch.testing.assert_close(block.attn(tokens), _plain_attention(block.attn, tokens, scale), atol=1e-5, rtol=0)
        other = 768**-0.5 + 96**-0.5 - scale
        assert (block.attn(tokens) - _plain_attention(block.attn, tokens, other)).abs().max() > 0.1


def test_pretrained_weights_are_refused() -> None:
    with pytest.raises(RuntimeError, match="vit_small_patch32_pvt: pretrained weights are not downloaded"):
        _build("vit_small_patch32_pvt", pretrained=True)


@torch.no_grad()
def test_features_only_and_classes() -> None:
    backbone = _build(features_only=True, depth=2, out_indices=(1,))
    assert backbone(torch.randn(1, 3, 64, 32))[0].shape == (1, 768, 4, 2)
    assert [block.attn.scale for block in backbone.model.blocks] == [96**-0.5] * 2
    assert _build(depth=1, num_classes=5)(torch.randn(1, 3, 64, 64)).shape == (1, 5)
