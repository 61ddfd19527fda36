"""With the gates on the diagonal and PVTv2's weights, DiT is PVTv2."""

from typing import Any

import pytest
import timm
import torch

from dit_bench.errors import WeightsError
from dit_bench.models.dit.options import RoutingOptions
from dit_bench.models.dit.weights import load_pvt_v2
from dit_bench.models.weights import load_into


@pytest.mark.parametrize("size", ["b1", "b2"])
@pytest.mark.parametrize("entry", [None, 0.1])
def test_logits_equal_timms_pvt_v2(size: str, entry: float | None) -> None:
    torch.manual_seed(0)
    reference: Any = timm.create_model(f"pvt_v2_{size}").eval()
    torch.nn.init.normal_(reference.head.weight, std=0.1)
    routing = RoutingOptions(variant="diagonal", entry_scale_init=entry)
    model: Any = timm.create_model(f"dit_{size}", routing=routing).eval()
    load_pvt_v2(model, reference.state_dict())
    images = torch.randn(2, 3, 128, 160)
    with torch.no_grad():
        expected = reference(images)
        assert expected.abs().max() > 0.5
        torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=0)


def test_a_gated_dit_on_its_open_path_is_pvt_v2_too() -> None:
    torch.manual_seed(0)
    reference: Any = timm.create_model("pvt_v2_nano", num_classes=10)
    model: Any = timm.create_model("dit_nano", num_classes=10, routing=RoutingOptions(open_path="diagonal"))
    load_pvt_v2(model, reference.state_dict())
    model.train()
    model.routing_state.open = True
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model(images), reference(images), atol=1e-5, rtol=0)


def test_pyramid_equals_timms_features() -> None:
    torch.manual_seed(0)
    reference: Any = timm.create_model("pvt_v2_b1").eval()
    model: Any = timm.create_model("dit_b1", features_only=True, routing=RoutingOptions(variant="diagonal")).eval()
    load_pvt_v2(model.model, {k: v for k, v in reference.state_dict().items() if not k.startswith("head.")})
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = reference.forward_intermediates(images, intermediates_only=True)
        for own, other in zip(model(images), expected, strict=True):
            torch.testing.assert_close(own, other, atol=1e-5, rtol=0)
    assert model.feature_info.channels() == [64, 128, 320, 512]
    assert model.feature_info.reduction() == [4, 8, 16, 32]


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_wrong_weights_are_refused_and_nothing_is_copied(change: str) -> None:
    weights = timm.create_model("pvt_v2_nano", num_classes=10).state_dict()
    key = "stages.2.blocks.0.mlp.fc1.weight"
    if change == "missing":
        del weights[key]
    elif change == "extra":
        weights["stages.9.surprise"] = torch.zeros(1)
    else:
        weights[key] = torch.zeros(3, 3)
    model: Any = timm.create_model("dit_nano", num_classes=10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = {"missing": "missing grid.stages.2_2", "extra": "unexpected stages.9", "shape": r"is \(3, 3\)"}[change]
    with pytest.raises(WeightsError, match=expected):
        load_into(model, weights, "weights.safetensors")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
