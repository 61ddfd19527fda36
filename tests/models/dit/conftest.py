"""Small routed networks whose gates really disagree between images."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch

import dit_bench.models.dit.registry
import dit_bench.models.pvt  # noqa: F401
from dit_bench.models.dit.gates import Gate
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import GateOptions, RoutingOptions

DitFactory = Callable[..., DiT]


@pytest.fixture
def make_dit() -> DitFactory:
    def build(
        variant: str = "dynamic", *, size: str = "nano", seed: int = 0, spread: float = 0.5, **options: Any
    ) -> DiT:
        torch.manual_seed(seed)
        gate = GateOptions(initial_keep_logit=0.0, initial_skip_logit=0.0)
        routing = RoutingOptions(variant=variant, gate=gate, **options)
        model: Any = timm.create_model(f"dit_{size}", num_classes=10, routing=routing)
        assert isinstance(model, DiT)
        for gate_module in model.gates():
            assert isinstance(gate_module, Gate)
            torch.nn.init.normal_(gate_module.projection.weight, std=spread)
            torch.nn.init.normal_(gate_module.projection.bias, std=spread)
            gate_module.copy_to_ema()
        # The default head is tiny; a larger one makes differences of logits visible.
        torch.nn.init.normal_(model.get_parameter("head.weight"), std=1.0)
        return model.eval()

    return build


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
