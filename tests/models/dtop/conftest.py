"""Small DToP networks whose heads are sure of some tokens and not of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dit_bench.models.dtop.atm import MaskAttention
from dit_bench.models.dtop.backbone import build_plain_vit
from dit_bench.models.dtop.heads import AtmHead, HeadKind, token_scores
from dit_bench.models.dtop.network import DTopNetwork

NUM_CLASSES = 5
MIXED_KINDS: tuple[tuple[HeadKind, ...], ...] = (
    ("atm", "atm", "atm"),
    ("fcn", "fcn", "fcn"),
    ("fcn", "atm", "fcn"),
    ("atm", "fcn", "atm"),
)


def spread_out(network: nn.Module) -> None:
    """Weights large enough for verdicts to differ from token to token and from head to head."""
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1 and "pos_embed" not in name and "embedding" not in name:
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        elif name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    for module in network.modules():
        if isinstance(module, AtmHead):
            with torch.no_grad():
                module.presence.bias.copy_(torch.tensor([2.0, -2.0]))
        if isinstance(module, MaskAttention):
            with torch.no_grad():
                module.q.weight.mul_(2.0)
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)


@pytest.fixture(scope="session")
def make_network() -> Callable[..., DTopNetwork]:
    """Build a network of the nano ViT, in eval mode, with random weights."""

    def make(
        head_kinds: HeadKind | Sequence[HeadKind] = "atm",
        *,
        num_classes: int = NUM_CLASSES,
        seed: int = 0,
        vit: str = "vit_nano_patch8",
        **options: Any,
    ) -> DTopNetwork:
        torch.manual_seed(seed)
        network = DTopNetwork(build_plain_vit(vit), num_classes, head_kinds=head_kinds, **options)
        spread_out(network)
        return network.eval()

    return make


@pytest.fixture(scope="session")
def images() -> Tensor:
    """Five pictures `(5, 3, 64, 64)` that differ wildly: noise, one colour, a gradient, halves, faint noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 64, 64, generator=generator)
    ramp = torch.linspace(-2, 2, 64).expand(3, 64, 64)
    halves = torch.where(torch.arange(64) < 32, noise * 2, torch.full_like(noise, 1.5))
    return torch.stack([noise, torch.full_like(noise, -1.0), ramp, halves, 0.1 * noise])


@pytest.fixture(scope="session")
def confidences() -> Callable[[DTopNetwork, Tensor], list[Tensor]]:
    """The highest score `(B, N)` of every token under every head, without pruning."""

    def measure(network: DTopNetwork, pixels: Tensor) -> list[Tensor]:
        rules, seen = network.pruning, []

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            seen.append(token_scores(output, args[1]).amax(dim=1).view(len(pixels), -1))

        handles = [head.register_forward_hook(hook) for head in network.token_heads]
        network.pruning = [type(rule)(threshold=1.0) for rule in rules]
        try:
            with torch.no_grad():
                network.loss(pixels, torch.zeros(len(pixels), *pixels.shape[2:], dtype=torch.int64))
        finally:
            network.pruning = rules
            for handle in handles:
                handle.remove()
        return seen

    return measure
