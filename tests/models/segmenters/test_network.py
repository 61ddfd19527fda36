"""Backbone and segmenter as one network: loss, scores, routing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.options import RoutingOptions
from dit_bench.models.pyramid.backbones import build_backbone
from dit_bench.models.pyramid.cost_parts import CostParts
from dit_bench.models.segmenters.network import SegmentationNetwork
from dit_bench.models.segmenters.registry import build_segmenter

SIZE = (64, 96)


def _network(name: str, segmenter: str = "semantic_fpn", **arguments: Any) -> SegmentationNetwork:
    torch.manual_seed(0)
    if name.startswith("dit_"):
        arguments["routing"] = RoutingOptions(variant="dynamic")
    backbone = build_backbone(name, **arguments)
    head = build_segmenter(segmenter, backbone.widths, 3, strides=backbone.strides, crop_px=64, width_divisor=8)
    return SegmentationNetwork(backbone, head)


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def test_the_loss_reaches_backbone_and_gates(pixels: Tensor) -> None:
    network = _network("dit_nano").train()
    loss, trace = network.loss(pixels, torch.ones(2, *SIZE, dtype=torch.int64))
    assert loss.shape == ()
    assert trace is not None
    assert trace.num_images == 2
    loss.backward()
    assert network.routed is not None
    assert network.routed.patch_embed.proj.weight.grad is not None


@torch.no_grad()
def test_scores_come_with_the_routing_of_each_image(pixels: Tensor) -> None:
    network = _network("dit_nano").eval()
    scores, trace = network.segment(pixels)
    assert scores.shape == (2, 3, 16, 24)
    assert network.routed is not None
    assert trace is not None
    assert (Ledger.read(trace, network.routed.costs(SIZE)).macs > 0).all()


@torch.no_grad()
def test_a_network_is_its_segmenter_on_its_backbones_maps(pixels: Tensor) -> None:
    network = _network("pvt_v2_nano").eval()
    assert network.head is network.segmenter
    maps, _ = network.backbone(pixels)
    scores, trace = network.segment(pixels)
    assert trace is None
    torch.testing.assert_close(scores, network.segmenter(maps, SIZE))
    torch.testing.assert_close(network(pixels), scores)
    labels = torch.ones(2, *SIZE, dtype=torch.int64)
    torch.testing.assert_close(network.loss(pixels, labels)[0], network.segmenter.loss(maps, labels))


@pytest.mark.parametrize("segmenter", ["deeplabv3_plus", "trans2seg"])
def test_costs_of_a_dilated_network(segmenter: str) -> None:
    """At an output stride of 16, parts add up to the whole, of which 32 cells are seen instead of 8."""
    with torch.device("meta"):
        network = _network("resnet18c", segmenter, output_stride=16).eval()
        seen: list[Any] = []
        network.segmenter.register_forward_pre_hook(lambda _, args: seen.append(args[0][-1].shape))
        network(torch.zeros(1, 3, 64, 128))
    assert seen == [(1, 512, 4, 8)]
    parts = CostParts(network)
    assert parts.head_macs((64, 128)) > 0
    assert parts.backbone_macs((64, 128)) > CostParts(_network("resnet18c")).backbone_macs((64, 128))
