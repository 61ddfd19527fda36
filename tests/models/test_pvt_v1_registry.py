"""PVT v1's published sizes in timm's registry: parameters, key names, initialisation, configuration."""

from typing import Any

import pytest
import timm
import torch

import dit_bench.models.pvt_v1  # noqa: F401
from dit_bench.models.pvt_v1 import PVT_SIZES


# Table 2 prints 13.2, 24.5, 44.2, 61.4; Table 9 46.8. To the unit: the authors' code.
@pytest.mark.parametrize(
    ("size", "parameters"),
    [("tiny", 13_229_288), ("small", 24_485_864), ("medium", 44_208_104), ("large", 61_369_320)],
)
def test_parameters(size: str, parameters: int) -> None:
    with torch.device("meta"):
        model = timm.create_model(f"pvt_{size}")
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_small_wide_is_1_4_times_as_wide() -> None:
    with torch.device("meta"):
        model = timm.create_model("pvt_small_wide")
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == 46.822
    shape = PVT_SIZES["small_wide"]
    heads = zip(shape.embed_dims, shape.num_heads, strict=True)
    assert [width / count for width, count in heads] == [int(1.4 * 64)] * 4


def test_keys_are_the_published_ones() -> None:
    with torch.device("meta"):
        keys = {k: tuple(v.shape) for k, v in timm.create_model("pvt_small").state_dict().items()}
    expected = {"cls_token", "norm.weight", "norm.bias", "head.weight", "head.bias"}
    for number, depth in enumerate((3, 4, 6, 3), start=1):
        expected |= {f"pos_embed{number}"}
        modules = [f"patch_embed{number}.proj", f"patch_embed{number}.norm"]
        for index in range(depth):
            parts = ["norm1", "attn.q", "attn.kv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
            parts += ["attn.sr", "attn.norm"] if number < 4 else []
            modules += [f"block{number}.{index}.{part}" for part in parts]
        expected |= {f"{module}.{kind}" for module in modules for kind in ("weight", "bias")}
    assert set(keys) == expected
    tables = [keys[f"pos_embed{n}"] for n in (1, 2, 3, 4)]
    assert tables == [(1, 3136, 64), (1, 784, 128), (1, 196, 320), (1, 50, 512)]
    assert keys["cls_token"] == (1, 1, 512)
    assert keys["block1.0.attn.sr.weight"] == (64, 64, 8, 8)


def test_initialisation() -> None:
    torch.manual_seed(0)
    model: Any = timm.create_model("pvt_tiny")
    for parameter in (
        model.pos_embed1,
        model.pos_embed4,
        model.cls_token,
        model.head.weight,
        model.block3[0].attn.kv.weight,
    ):
        assert parameter.std().item() == pytest.approx(0.02, rel=0.1)
    assert not model.block3[0].attn.kv.bias.any()
    # torch's own: uniform within 1 / sqrt(fan in), whose deviation is that over sqrt(3).
    for convolution in (model.patch_embed2.proj, model.block1[0].attn.sr):
        fan_in = convolution.weight[0].numel()
        assert convolution.weight.std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.05)
        assert convolution.bias.any()


def test_drop_path_rises_over_all_blocks() -> None:
    with torch.device("meta"):
        model: Any = timm.create_model("pvt_tiny", drop_path_rate=0.7)
    rates = [block.drop_path.drop_prob for n in (1, 2, 3, 4) for block in getattr(model, f"block{n}")]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


def test_features_only_gives_the_dense_maps() -> None:
    backbone: Any = timm.create_model("pvt_tiny", features_only=True)
    assert backbone.feature_info.channels() == [64, 128, 320, 512]
    assert backbone.feature_info.reduction() == [4, 8, 16, 32]
    classifier: Any = timm.create_model("pvt_tiny").eval()
    missing, unexpected = backbone.model.load_state_dict(classifier.state_dict(), strict=False)
    assert missing == []
    assert sorted(unexpected) == ["cls_token", "head.bias", "head.weight", "norm.bias", "norm.weight"]
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = backbone.eval()(images)
        expected = classifier.forward_intermediates(images, intermediates_only=True)
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 16, 24), (128, 8, 12), (320, 4, 6), (512, 2, 3)]
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))


@torch.no_grad()
@pytest.mark.parametrize(("size", "widths"), [("mini", (24, 48, 96, 128)), ("nano", (16, 32, 64, 96))])
def test_small_sizes_are_for_images_of_64_pixels(size: str, widths: tuple[int, ...]) -> None:
    model: Any = timm.create_model(f"pvt_{size}", num_classes=10).eval()
    # Grids of 16, 8, 4 and 2 tokens a side; the last table has a row for the class token.
    assert [len(model.get_parameter(f"pos_embed{n}")[0]) for n in (1, 2, 3, 4)] == [256, 64, 16, 5]
    maps = model.forward_intermediates(torch.randn(1, 3, 128, 96), intermediates_only=True)
    assert [tuple(m.shape[1:]) for m in maps] == [(w, 32 // 2**n, 24 // 2**n) for n, w in enumerate(widths)]
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 10)


def test_configuration() -> None:
    for size in PVT_SIZES:
        config = timm.get_pretrained_cfg(f"pvt_{size}")
        assert config is not None
        side_px = 64 if size in ("mini", "nano") else 224
        assert (config.crop_pct, config.interpolation) == (0.875, "bicubic")
        assert config.input_size == (3, side_px, side_px)
        assert not config.fixed_input_size
        assert config.mean == (0.485, 0.456, 0.406)
        assert config.std == (0.229, 0.224, 0.225)


def test_pretrained_weights_are_refused() -> None:
    with pytest.raises(RuntimeError, match="pvt_small: pretrained weights are not downloaded"):
        timm.create_model("pvt_small", pretrained=True)
