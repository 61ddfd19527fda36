"""The plain ViT against timm's without class token, on its own grid and on others."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed

from dit_bench.errors import UsageError
from dit_bench.models.dtop.backbone import build_plain_vit, default_stage_ends
from dit_bench.models.zoo import create


def _build(name: str = "vit_nano_patch8", **arguments: Any) -> Any:
    torch.manual_seed(0)
    backbone = build_plain_vit(name, **arguments).eval()
    torch.nn.init.normal_(backbone.model.pos_embed)  # type: ignore[arg-type]
    return backbone


@torch.no_grad()
@pytest.mark.parametrize(("height_px", "width_px"), [(64, 64), (200, 200), (8, 120), (128, 40)])
def test_taps_are_timms_without_class_token(height_px: int, width_px: int) -> None:
    """Also on a 25x25, a 1x15 and a 16x5 grid, positions resized bicubically without antialiasing."""
    backbone = _build()
    weights = {k: v for k, v in backbone.model.state_dict().items() if k not in ("cls_token", "pos_embed")}
    theirs: Any = timm.create_model(
        "vit_nano_patch8", class_token=False, global_pool="avg", num_classes=0, img_size=(height_px, width_px)
    ).eval()
    grid = (height_px // 8, width_px // 8)
    table = resample_abs_pos_embed(backbone.model.pos_embed, list(grid), num_prefix_tokens=1, antialias=False)
    missing = theirs.load_state_dict({**weights, "pos_embed": table[:, 1:]}, strict=False)
    assert all(key.startswith(("norm.", "fc_norm.")) for key in missing.missing_keys), missing
    assert not missing.unexpected_keys
    pixels = torch.randn(2, 3, height_px, width_px)
    taps, found = backbone.taps(pixels, (1, 2, 3))
    assert found == grid
    wanted = theirs.forward_intermediates(
        pixels, indices=[0, 1, 2], norm=False, intermediates_only=True, output_fmt="NLC"
    )
    for tap, other in zip(taps, wanted, strict=True):
        torch.testing.assert_close(tap, other, atol=1e-4, rtol=1e-4)


def test_position_of_a_non_square_table_is_kept_on_its_own_grid() -> None:
    backbone = _build(img_size=(32, 72))
    with torch.no_grad():
        tokens, grid = backbone.embed(torch.zeros(1, 3, 32, 72))
    assert grid == (4, 9)
    expected = backbone.model.patch_embed.get_parameter("proj.bias") + backbone.model.pos_embed[0, 1:]
    torch.testing.assert_close(tokens[0], expected)


@pytest.mark.parametrize("name", ["vit_base_patch16_384", "vit_large_patch16_384", "vit_mini_patch8"])
def test_weights_have_timms_names_and_shapes(name: str) -> None:
    """A classifier's checkpoint fits, but for its norm and head; the class token and its position are still there."""
    with torch.device("meta"):
        backbone, classifier = build_plain_vit(name), timm.create_model(name)
    ours = {key: value.shape for key, value in backbone.model.state_dict().items()}
    theirs = {key: value.shape for key, value in classifier.state_dict().items()}
    norm = "norm" if name.startswith("vit_base") or name.startswith("vit_large") else "fc_norm"
    left_out = {f"{norm}.weight", f"{norm}.bias", "head.weight", "head.bias"}
    assert ours == {key: shape for key, shape in theirs.items() if key not in left_out}
    assert {"cls_token", "pos_embed"} <= set(ours)


def test_sizes() -> None:
    with torch.device("meta"):
        base, large = build_plain_vit("vit_base_patch16_384"), build_plain_vit("vit_large_patch16_384")
    assert (base.width, len(base.blocks), base.num_heads, base.patch_size) == (768, 12, 12, (16, 16))
    assert (large.width, len(large.blocks), large.num_heads) == (1024, 24, 16)
    assert base.blocks[0].attn.get_parameter("qkv.bias") is not None
    assert {block.norm1.eps for block in base.blocks} == {1e-6}
    assert default_stage_ends(12) == (6, 8, 12)
    assert default_stage_ends(24) == (8, 16, 24)
    assert default_stage_ends(6) == (2, 4, 6)
    assert default_stage_ends(1) == (1,)


def test_paths_are_dropped_in_the_feed_forward_branch_only() -> None:
    backbone = build_plain_vit("vit_mini_patch8", drop_path_rate=0.3)
    assert all(isinstance(block.drop_path1, torch.nn.Identity) for block in backbone.blocks)
    rates = [getattr(block.drop_path2, "drop_prob", 0.0) for block in backbone.blocks]
    assert rates == pytest.approx([0.06 * layer for layer in range(6)])


def test_what_training_never_uses_asks_for_no_gradient() -> None:
    backbone = _build()
    tokens, _ = backbone.taps(torch.randn(1, 3, 64, 64), (3,))
    tokens[0].sum().backward()
    without = [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert not backbone.model.cls_token.requires_grad


def test_cut_patches_are_refused() -> None:
    with pytest.raises(UsageError, match="images of 60x64 pixels do not divide into patches of 8x8"):
        _build().embed(torch.zeros(1, 3, 60, 64))


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224", "resnet18"])
def test_other_networks_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"model.name={name} is not a plain vision transformer"):
        build_plain_vit(name)


def test_extra_tokens_and_norms_are_refused() -> None:
    for arguments in ({"reg_tokens": 4}, {"pre_norm": True}, {"qk_norm": True}, {"pos_embed": "none"}):
        with pytest.raises(UsageError, match="is not a plain vision transformer"):
            build_plain_vit("vit_nano_patch8", **arguments)


def test_small_sizes_are_in_the_zoo() -> None:
    model: Any = create("vit_mini_patch8", num_classes=7, image_size=(64, 64))
    assert model(torch.zeros(1, 3, 128, 64)).shape == (1, 7)
    assert (model.embed_dim, len(model.blocks), model.patch_embed.grid_size) == (96, 6, (8, 8))
    coarse: Any = create("vit_mini_patch16", num_classes=7, image_size=(64, 64))
    assert (coarse.embed_dim, len(coarse.blocks), coarse.patch_embed.grid_size) == (96, 6, (4, 4))
    with pytest.raises(RuntimeError, match="vit_nano_patch8: pretrained weights are not downloaded"):
        timm.create_model("vit_nano_patch8", pretrained=True)
