"""Backbone and detector as one network: losses, detections, routing, names that must not be decayed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dit_bench.cost.formulas import Grid
from dit_bench.models.detectors.base import Detector
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.options import RoutingOptions
from dit_bench.models.pyramid.backbones import build_backbone


class MeanOfMaps(Detector):
    """Learns that every map is 1 on average; finds one box, as large as the image."""

    def losses(self, maps: list[Tensor], images: PaddedImages, objects: list[Objects]) -> dict[str, Tensor]:
        assert len(images.sizes) == len(objects)
        return {f"level{level}": (cells.mean() - 1).square() for level, cells in enumerate(maps)}

    def detect(self, maps: list[Tensor], images: PaddedImages) -> list[Detections]:
        return [
            Detections(torch.tensor([[0.0, 0.0, w, h]]), cells.mean().view(1), torch.zeros(1, dtype=torch.int64))
            for cells, (h, w) in zip(maps[0], images.sizes, strict=True)
        ]

    def forward(self, maps: list[Tensor], padded_size: Grid) -> None:
        self.seen = [tuple(cells.shape) for cells in maps], padded_size


def _network(name: str = "dit_nano", variant: str = "dynamic") -> DetectionNetwork:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"routing": RoutingOptions(variant=variant)} if name.startswith("dit_") else {}
    backbone = build_backbone(name, **arguments)
    return DetectionNetwork(backbone, MeanOfMaps(backbone.widths, 3))


@pytest.fixture
def images() -> PaddedImages:
    return PaddedImages(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)), [(64, 80), (50, 96)])


OBJECTS = [Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))] * 2


def test_losses_reach_backbone_and_gates(images: PaddedImages) -> None:
    network = _network().train()
    losses, trace = network.losses(images, OBJECTS)
    assert list(losses) == ["level0", "level1", "level2", "level3"]
    assert trace is not None
    assert trace.num_images == 2
    torch.stack(list(losses.values())).sum().backward()
    assert network.routed is not None
    assert network.routed.patch_embed.proj.weight.grad is not None


def test_detections_come_with_the_routing_of_each_image(images: PaddedImages) -> None:
    network = _network().eval()
    with torch.no_grad():
        found, trace = network.detect(images)
    assert [one.boxes.tolist() for one in found] == [[[0, 0, 80, 64]], [[0, 0, 96, 50]]]
    assert network.routed is not None
    assert trace is not None
    ledger = Ledger.read(trace, network.routed.costs(images.padded_size))
    assert ledger.macs.shape == (2,)
    assert (ledger.macs > 0).all()


def test_a_backbone_without_gates_has_no_routing(images: PaddedImages) -> None:
    network = _network("pvt_v2_nano").eval()
    assert network.routed is None
    assert network.detect(images)[1] is None


def test_the_counting_pass_runs_the_detector_on_all_four_maps() -> None:
    with torch.device("meta"):
        network = _network("pvt_v2_nano")
        network(torch.zeros(1, 3, 64, 96))
    shapes = [(1, 16, 16, 24), (1, 32, 8, 12), (1, 64, 4, 6), (1, 96, 2, 3)]
    assert isinstance(network.detector, MeanOfMaps)
    assert network.detector.seen == (shapes, (64, 96))


def test_names_without_decay_are_names_of_the_network() -> None:
    network = _network()
    names = network.no_weight_decay()
    assert names
    assert names < {name for name, _ in network.named_parameters()}
    assert all(".gates." in name for name in names)


def test_a_detector_for_other_maps_is_refused() -> None:
    with pytest.raises(AssertionError, match="other maps"):
        DetectionNetwork(build_backbone("pvt_v2_nano"), MeanOfMaps([64, 128, 320, 512], 3))
