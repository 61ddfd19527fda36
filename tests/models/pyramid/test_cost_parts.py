"""What the parts of a detection network cost, against counts of real passes, and copies without values."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import pvt_v2_macs
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.models.detectors.retinanet import RetinaNet
from dit_bench.models.pvt import SIZES
from dit_bench.models.pyramid.backbones import build_backbone
from dit_bench.models.pyramid.cost_parts import CostParts, on_meta


def _network(name: str) -> DetectionNetwork:
    backbone = build_backbone(name)
    return DetectionNetwork(backbone, RetinaNet(backbone.widths, 3, channels=8)).eval()


@pytest.mark.parametrize("size", [(64, 96), (128, 64)])
def test_parts_add_up_to_what_a_pass_really_computes(size: tuple[int, int]) -> None:
    network = _network("pvt_v2_nano")
    parts = CostParts(network)
    assert parts.backbone_macs(size) == pvt_v2_macs(SIZES["nano"], size, 0)
    executed = counted_macs(lambda: network(torch.zeros(1, 3, *size)))
    assert parts.backbone_macs(size) + parts.head_macs(size) == executed


def test_the_detector_costs_the_same_behind_gates() -> None:
    routed, plain = _network("dit_nano"), _network("pvt_v2_nano")
    assert CostParts(routed).head_macs((64, 64)) == CostParts(plain).head_macs((64, 64))
    with pytest.raises(AssertionError, match="ledger"):
        CostParts(routed).backbone_macs((64, 64))


def test_the_detectors_cost_by_hand() -> None:
    """RetinaNet on widths 16-32-64-96: pyramid of 8 channels at 64x64 px, towers of 4 and 4, 9 anchors, 3 classes."""
    cells = [64, 16, 4, 1, 1]
    lateral = 64 * 32 * 8 + 16 * 64 * 8 + 4 * 96 * 8
    output = 9 * (sum(cells[:3]) * 8 * 8 + 96 * 8 + 8 * 8)
    towers = sum(cells) * 9 * (8 * 8 * 8 + 8 * 27 + 8 * 36)
    assert CostParts(_network("pvt_v2_nano")).head_macs((64, 64)) == lateral + output + towers


def test_sizes_that_are_not_padded_are_refused() -> None:
    with pytest.raises(AssertionError, match="not padded"):
        CostParts(_network("pvt_v2_nano")).head_macs((64, 80))


def test_a_copy_on_meta_shares_nothing_and_keeps_everything() -> None:
    shared = nn.Linear(2, 2)
    module = nn.Sequential(shared, nn.BatchNorm1d(2), shared)
    shared.bias.requires_grad_(False)
    values = [parameter.clone() for parameter in module.parameters()]
    copied = on_meta(module)
    assert all(tensor.is_meta for tensor in (*copied.parameters(), *copied.buffers()))
    assert [(name, p.requires_grad, p.shape) for name, p in copied.named_parameters()] == [
        (name, p.requires_grad, p.shape) for name, p in module.named_parameters()
    ]
    assert all(isinstance(parameter, nn.Parameter) for parameter in copied.parameters())
    assert copied[0].weight is copied[2].weight
    assert all(torch.equal(one, two) for one, two in zip(values, module.parameters(), strict=True))
