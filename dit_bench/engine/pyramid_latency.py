"""Time per image of a network for dense prediction, beside the same head on PVTv2."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from dit_bench.engine.latency import measure_latency
from dit_bench.models.pyramid.network import PyramidNetwork
from dit_bench.models.zoo import size_of
from dit_bench.recipes.settings import ModelSettings, RoutingSettings, RunSettings

Network = TypeVar("Network", bound=PyramidNetwork)


class Inference(nn.Module):
    """All that a network does with a batch of pictures from pixels to results, as one module that can be timed."""

    def __init__(self, network: Network, infer: Callable[[Network, Tensor], object]):
        super().__init__()
        self.network, self.infer = network, infer

    def forward(self, pixels: Tensor) -> None:
        """Run once; the results are dropped."""
        self.infer(self.network, pixels)


def pyramid_latency(
    network: Network,
    build: Callable[[RunSettings], Network],
    infer: Callable[[Network, Tensor], object],
    pixels: Tensor,
    settings: RunSettings,
    device: torch.device,
) -> dict[str, float]:
    """Time per image of the network, and of the same head on PVTv2 of its size, which `build` makes."""
    size, base = size_of(settings.model.name), None
    if size is not None:
        plain = settings.model_copy(
            update={"model": ModelSettings(name=f"pvt_v2_{size}"), "routing": RoutingSettings(variant="diagonal")}
        )
        with torch.random.fork_rng(devices=[]):
            base = build(plain)
        base.head.load_state_dict(network.head.state_dict())
        base = Inference(base, infer)
    return measure_latency(Inference(network, infer), base, pixels, settings, device)
