"""MACs of the parts of a network for dense prediction, per image of a padded size (convention `matmul`).

The head costs the same whatever the gates decide. So the cost of an image is that of its backbone, for a DiT the
ledger's, and this. Everything is counted in one pass on the meta device and remembered per size.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dit_bench.cost.census import Census, take_census
from dit_bench.cost.formulas import Grid
from dit_bench.models.pyramid.backbones import STRIDES
from dit_bench.models.pyramid.head import PyramidHead
from dit_bench.models.pyramid.network import PyramidNetwork

Module = TypeVar("Module", bound=nn.Module)


class CostParts:
    """What backbone and head of a network cost at any padded size."""

    def __init__(self, network: PyramidNetwork):
        self._head = on_meta(network.head)
        self._strides = network.backbone.strides
        self._backbone = None if network.routed is not None else on_meta(network.backbone)
        self._head_macs: dict[Grid, int] = {}
        self._backbone_macs: dict[Grid, int] = {}

    def head_macs(self, padded_size: Grid) -> int:
        """MACs of neck and heads for one image of (height, width) pixels, padding included."""
        if padded_size not in self._head_macs:
            self._head_macs[padded_size] = head_census(self._head, padded_size, self._strides).macs
        return self._head_macs[padded_size]

    def backbone_macs(self, padded_size: Grid) -> int:
        """MACs of a backbone without gates for one image; that of a DiT depends on the image and is in its ledger."""
        assert self._backbone is not None, "what a routed backbone costs is in its ledger"
        if padded_size not in self._backbone_macs:
            pixels = torch.zeros(1, 3, *padded_size, device="meta")
            self._backbone_macs[padded_size] = take_census(self._backbone, pixels).macs
        return self._backbone_macs[padded_size]


def head_census(head: PyramidHead, padded_size: Grid, strides: Sequence[int] = STRIDES) -> Census:
    """Neck and heads on the meta device for one image of (height, width) pixels, multiples of the coarsest stride."""
    assert all(side % strides[-1] == 0 for side in padded_size), f"{padded_size} is not padded"
    maps = [
        torch.zeros(1, width, padded_size[0] // stride, padded_size[1] // stride, device="meta")
        for width, stride in zip(head.widths, strides, strict=True)
    ]
    return take_census(head, maps, padded_size)


def on_meta(module: Module) -> Module:
    """A copy of a module on the meta device, made without copying a single value."""
    replaced: dict[int, Any] = {id(tensor): _like(tensor) for tensor in _tensors(module)}
    return copy.deepcopy(module, replaced)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())


def _like(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
