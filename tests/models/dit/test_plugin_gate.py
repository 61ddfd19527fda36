"""Gates of other packages: what ours adds to them, and that their cost is counted to the last MAC or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from dit_bench.cost.counter import counted_macs
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import GateOptions, RoutingOptions
from dit_bench.models.dit.plugin_gate import PluginGate, build_gate
from dit_bench.plugins import PluginError, plugins

MakePackage = Callable[..., str]
WIDTH, HIDDEN = 16, 8
GATE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, 2)

    def forward(self, tokens):
        return {body}
{more}
"""


def their_gate(gap: float = 0.0, **options: Any) -> PluginGate:
    kind = next(iter(plugins("gates"))).name
    gate = build_gate(WIDTH, GateOptions(kind=kind, initial_keep_logit=gap, **options), initially_open=True)
    assert isinstance(gate, PluginGate)
    return gate


def dit_behind(kind: str, **options: Any) -> DiT:
    torch.manual_seed(0)
    routing = RoutingOptions(gate=GateOptions(kind=kind), **options)
    model = timm.create_model("dit_nano", num_classes=10, routing=routing)
    assert isinstance(model, DiT)
    return model


def test_what_it_costs_is_what_its_layers_cost(example_package: Path) -> None:
    assert their_gate().macs(49) == 49 * (WIDTH * HIDDEN + HIDDEN * 2)


def test_the_initial_gap_is_on_every_token_and_the_network_starts_as_its_package_left_it(example_package: Path) -> None:
    model = dit_behind("two_layers", open_path="diagonal")
    opened, closed = model.grid.rows.gates["0_0"], model.grid.rows.gates["0_1"]
    assert isinstance(opened, PluginGate)
    assert isinstance(closed, PluginGate)
    assert opened.ema_bias.tolist() == [2.0, -2.0]
    assert closed.ema_bias.tolist() == [-1.0, 1.0]
    # Ours would set the bias of every linear layer to zero.
    assert opened.network.get_parameter("layers.0.bias").detach().abs().min().item() > 0


def test_inference_follows_the_moving_average(example_package: Path) -> None:
    gate = their_gate(4.0, ema_momentum=0.5)
    with torch.no_grad():
        gate.bias.copy_(torch.tensor([-50.0, 50.0]))
    weight = gate.network.get_parameter("layers.2.weight")
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
    gate.eval()
    features = torch.randn(3, 5, WIDTH)
    assert torch.equal(gate(features, noise=1.0, generator=None), torch.ones(3, 5)), "the average still says keep"
    gate.update_ema()  # the warm-up's first momentum is 0.1
    torch.testing.assert_close(gate.get_buffer("ema_network__layers__2__weight"), before + 0.9)
    assert torch.equal(gate(features, noise=1.0, generator=None), torch.zeros(3, 5))
    assert gate(features[:, 0], noise=1.0, generator=None).shape == (3,)


def test_its_parameters_learn_and_count_once(example_package: Path) -> None:
    gate = their_gate().train()
    gate(torch.randn(4, 6, WIDTH), noise=1.0, generator=torch.Generator().manual_seed(0)).sum().backward()
    assert all(parameter.grad is not None for parameter in gate.parameters())
    assert sum(p.numel() for p in gate.parameters()) == WIDTH * HIDDEN + HIDDEN + HIDDEN * 2 + 2 + 2


def test_the_ledger_is_what_was_dispatched(example_package: Path) -> None:
    """Gates included, at decisions that differ from image to image."""
    model = dit_behind("two_layers").eval()
    torch.manual_seed(1)
    for gate in model.gates():
        gate.exercise()
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        _, trace = model(images, with_trace=True)
    ledger = Ledger.read(trace, model.costs((64, 64)))
    assert len(set(ledger.macs.tolist())) > 1
    assert [counted_macs(lambda k=k: model(images[k : k + 1])) for k in range(3)] == ledger.macs.tolist()


def test_packed_and_masked_execution_agree(example_package: Path) -> None:
    model = dit_behind("two_layers").eval()
    for gate in model.gates():
        gate.exercise()
    images, found = torch.randn(2, 3, 64, 64), []
    for model.execution in ("packed", "masked"):
        with torch.no_grad():
            found.append(model(images))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


def test_a_cost_that_is_stated_is_believed_if_it_is_not_too_low(make_package: MakePackage) -> None:
    more = "    def macs(self, num_vectors):\n        return {} * num_vectors"
    make_package("dear", GATE.format(body="self.layer(tokens)", more=more.format(1000)), gates={"dear": "Net"})
    assert their_gate().macs(3) == 3000


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        (
            "self.layer(tokens)",
            "    def macs(self, num_vectors):\n        return 5",
            "it states 5 MACs for 4 vectors, but torch dispatched 128",
        ),
        (
            "self.layer(tokens) if tokens.sum().item() else self.layer(-tokens)",
            "",
            r"what it costs is unknown: it has no method macs\(num_vectors\), and Tensor.item\(\) cannot be called",
        ),
        (
            "torch.ops.plugin_gate_test.twice(self.layer(tokens))",
            "@torch.library.custom_op('plugin_gate_test::twice', mutates_args=())\n"
            "def twice(x: torch.Tensor) -> torch.Tensor:\n    return 2 * x\n"
            "@twice.register_fake\ndef _(x):\n    return torch.empty_like(x)",
            r"what it costs is unknown: .*torch's counter does not know plugin_gate_test::twice",
        ),
        ("tokens", "", r"of features \(1, 4, 16\) it made \(1, 4, 16\), not logits \(1, 4, 2\)"),
    ],
)
def test_a_gate_whose_cost_or_output_is_wrong_is_refused(
    make_package: MakePackage, body: str, more: str, reason: str
) -> None:
    make_package("poor", GATE.format(body=body, more=more), gates={"poor": "Net"})
    with pytest.raises(PluginError, match=rf"^gate 'poor' of poor 1\.2\.3 \(dit_bench\.gates: poor:Net\): {reason}"):
        their_gate()


def test_what_is_no_module_is_refused(make_package: MakePackage) -> None:
    make_package("plain", "def make(width): return width", gates={"plain": "make"})
    with pytest.raises(PluginError, match=r"it returned int, not a torch\.nn\.Module"):
        their_gate()


def test_a_gate_that_nobody_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no installed package has a gate 'two_layers'"):
        build_gate(WIDTH, GateOptions(kind="two_layers"), initially_open=True)
