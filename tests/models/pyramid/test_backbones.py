"""Backbones: four maps of the right strides, what is frozen, what stays of the classifier, DiT's routing."""

from typing import Any

import pytest
import timm
import torch
from timm.layers import DropPath
from torch import nn

from dit_bench.errors import UsageError
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import RoutingOptions
from dit_bench.models.pyramid.backbones import Backbone, build_backbone

# Parameters in M without a classifier; for ResNets those that are trained, beyond a frozen stem and first stage.
BACKBONES = {
    "resnet18": ([64, 128, 256, 512], 11.019),
    "resnet50": ([256, 512, 1024, 2048], 23.283),
    "resnext101_64x4d": ([256, 512, 1024, 2048], 81.004),
    "swin_tiny_patch4_window7_224": ([96, 192, 384, 768], 27.521),
    "swin_base_patch4_window7_224": ([128, 256, 512, 1024], 86.745),
    "convnext_tiny": ([96, 192, 384, 768], 27.821),
    "mvitv2_tiny": ([96, 192, 384, 768], 23.406),
    "vit_small_patch32_pvt": ([768, 768, 768, 768], 49.642),
    "pvt_tiny": ([64, 128, 320, 512], 12.715),
    "pvt_small_wide": ([89, 178, 445, 712], 46.107),
    "pvt_v2_b2": ([64, 128, 320, 512], 24.850),
    "pvt_v2_b2_li": ([64, 128, 320, 512], 22.041),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_maps_and_parameters(name: str) -> None:
    widths, params = BACKBONES[name]
    with torch.device("meta"):
        backbone = build_backbone(name, frozen_stages=int(name.startswith("res")))
        maps, trace = backbone(torch.zeros(2, 3, 224, 352))
    assert backbone.widths == widths
    assert [tuple(cells.shape) for cells in maps] == [
        (2, width, 224 // stride, 352 // stride) for width, stride in zip(widths, (4, 8, 16, 32), strict=True)
    ]
    assert trace is None
    trained = sum(parameter.numel() for parameter in backbone.parameters() if parameter.requires_grad)
    assert round(trained / 1e6, 3) == params
    assert backbone.no_weight_decay() <= {parameter for parameter, _ in backbone.named_parameters()}


@pytest.mark.parametrize("name", ["resnet18", "pvt_v2_nano", "swin_tiny_patch4_window7_224", "convnext_atto"])
def test_weights_of_the_classifier_fit_under_their_own_names(name: str) -> None:
    with torch.device("meta"):
        weights = timm.create_model(name).state_dict()
        backbone = build_backbone(name)
    left = set(weights) - set(backbone.model.state_dict())
    assert left
    assert all(key.startswith(("head.", "fc.", "norm.")) for key in left)
    assert set(backbone.model.state_dict()) <= set(weights)


@torch.no_grad()
def test_maps_are_the_models_own() -> None:
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 64, 96)
    for name in ("pvt_v2_b0", "resnet18"):
        backbone = build_backbone(name).eval()
        features: Any = timm.create_model(name, features_only=True, out_indices=(-4, -3, -2, -1)).eval()
        values: Any = list(features.state_dict().values())
        for own, other in zip(backbone.model.state_dict().values(), values, strict=True):
            other.copy_(own)
        for own, other in zip(backbone(pixels)[0], features(pixels), strict=True):
            torch.testing.assert_close(own, other)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "convnext_atto", "mvitv2_tiny"])
@torch.no_grad()
def test_every_output_has_a_norm_of_its_own(name: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name).eval()
    for cells in backbone(torch.randn(1, 3, 64, 96))[0]:
        torch.testing.assert_close(cells.mean(dim=1), torch.zeros(1, *cells.shape[2:]), atol=1e-5, rtol=0)
        torch.testing.assert_close(cells.var(dim=1, unbiased=False).mean(), torch.tensor(1.0), atol=0.1, rtol=0)
    norms: Any = backbone.norms
    assert len({id(norm.weight) for norm in norms}) == 4


def test_frozen_stages_and_batch_norms() -> None:
    backbone = build_backbone("resnet18", frozen_stages=2)
    frozen = {name.split(".")[1] for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
    trained = {name.split(".")[1] for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert (frozen, trained) == ({"conv1", "bn1", "layer1", "layer2"}, {"layer3", "layer4"})
    assert backbone.model.get_parameter("layer3.0.bn1.weight").requires_grad
    statistics = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    backbone.eval().train()
    assert backbone.training
    backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(statistics[name], buffer) for name, buffer in backbone.named_buffers())


def test_without_frozen_stages_batch_norms_are_trained() -> None:
    backbone = build_backbone("resnet18").train()
    before = backbone.model.get_buffer("bn1.running_mean").clone()
    backbone(torch.randn(2, 3, 64, 64))
    assert not torch.equal(before, backbone.model.get_buffer("bn1.running_mean"))
    assert all(parameter.requires_grad for parameter in backbone.parameters())


@pytest.mark.parametrize("name", ["pvt_v2_nano", "dit_nano", "swin_tiny_patch4_window7_224"])
def test_only_resnets_have_stages_to_freeze(name: str) -> None:
    with pytest.raises(UsageError, match=f"frozen_stages: {name}"):
        build_backbone(name, frozen_stages=1)


@pytest.mark.parametrize("name", ["tnt_s_patch16_224", "mvitv2_small_cls"])
def test_networks_without_the_four_strides_are_refused(name: str) -> None:
    with torch.device("meta"), pytest.raises(UsageError, match=rf"model.name={name} "):
        build_backbone(name)


@torch.no_grad()
def test_the_columnar_map_is_resized_to_every_stride() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("vit_small_patch16_pvt", depth=1, embed_dim=32).eval()
    maps, _ = backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(cells.shape[2:]) for cells in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    torch.testing.assert_close(maps[3], maps[2].unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5)))
    torch.testing.assert_close(maps[1].mean(dim=(2, 3)), maps[2].mean(dim=(2, 3)), atol=0.2, rtol=0)
    assert maps[2].mean(dim=1).abs().max() < 1e-5


def _routed(variant: str) -> Backbone:
    torch.manual_seed(0)
    return build_backbone("dit_nano", routing=RoutingOptions(variant=variant), drop_path_rate=0.1)


@torch.no_grad()
def test_dit_returns_its_routing_with_its_maps() -> None:
    backbone = _routed("dynamic").eval()
    assert isinstance(backbone.model, DiT)
    pixels = torch.randn(2, 3, 64, 96)
    maps, trace = backbone(pixels)
    assert trace is not None
    assert (trace.num_images, trace.grids) == (2, [(16, 24), (8, 12), (4, 6), (2, 3)])
    expected = backbone.model.forward_intermediates(pixels, intermediates_only=True)
    for own, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(own, other)
    assert isinstance(backbone.model.head, nn.Identity)
    assert backbone.model.costs((64, 96)).constant == 16 * 24 * 49 * 3 * 16


def test_dits_gates_are_kept_from_weight_decay() -> None:
    names = _routed("dynamic").no_weight_decay()
    assert names
    assert all(name.startswith("model.grid.") and ".gates." in name for name in names)
    assert _routed("diagonal").no_weight_decay() == set()


def _largest_drop_path(backbone: Backbone) -> float:
    return max((float(module.drop_prob) for module in backbone.modules() if isinstance(module, DropPath)), default=0.0)


def test_paths_are_dropped_only_on_request() -> None:
    assert _largest_drop_path(_routed("diagonal")) == pytest.approx(0.1)
    with torch.device("meta"):
        for name in ("pvt_v2_nano", "swin_tiny_patch4_window7_224", "convnext_atto", "mvitv2_tiny"):
            assert _largest_drop_path(build_backbone(name)) == 0
            assert _largest_drop_path(build_backbone(name, drop_path_rate=0.2)) == pytest.approx(0.2)


def test_swin_shifts_every_second_block_at_every_scale() -> None:
    with torch.device("meta"):
        model: Any = build_backbone("swin_tiny_patch4_window7_224").model
    for stage in model.layers:
        assert [block.window_size for block in stage.blocks] == [(7, 7)] * len(stage.blocks)
        assert [block.shift_size for block in stage.blocks] == [(0, 0), (3, 3)] * (len(stage.blocks) // 2)


@pytest.mark.parametrize(("stride", "strides"), [(32, (4, 8, 16, 32)), (16, (4, 8, 16, 16)), (8, (4, 8, 8, 8))])
def test_a_resnet_with_an_output_stride(stride: int, strides: tuple[int, ...]) -> None:
    with torch.device("meta"):
        backbone = build_backbone("resnet50s", output_stride=stride)
        maps, _ = backbone(torch.zeros(1, 3, 64, 96))
    assert backbone.strides == strides
    assert backbone.widths == [256, 512, 1024, 2048]
    assert [tuple(cells.shape[2:]) for cells in maps] == [(64 // s, 96 // s) for s in strides]


@torch.no_grad()
def test_dilation_keeps_the_weights_and_what_they_see() -> None:
    """Every second or fourth cell of the dilated maps is what the strided network has there.

    So the first convolution of a stage has the dilation of the stage before it, and rates add up to 2 and 4.
    """
    torch.manual_seed(0)
    strided, dilated = build_backbone("resnet18c").eval(), build_backbone("resnet18c", output_stride=8).eval()
    dilated.load_state_dict(strided.state_dict())
    pixels = torch.randn(1, 3, 128, 128)
    for own, other, step in zip(dilated(pixels)[0], strided(pixels)[0], (1, 1, 2, 4), strict=True):
        torch.testing.assert_close(own[..., ::step, ::step], other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["pvt_v2_nano", "dit_nano", "swin_tiny_patch4_window7_224", "convnext_atto"])
def test_only_resnets_can_be_dilated(name: str) -> None:
    with pytest.raises(UsageError, match=f"output_stride: {name}"):
        build_backbone(name, output_stride=16)
