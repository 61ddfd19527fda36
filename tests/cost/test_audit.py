"""Other counters run for real: the figures that they are known to give, with nothing left unexplained."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import VisionTransformer

from dit_bench.cost.audit import REMEDY, AuditLine, audit

IMAGE = torch.empty(1, 3, 224, 224, device="meta")
OURS = "dit-bench, closed form"
TORCH_META, TORCH_CPU = "torch FlopCounterMode / 2, meta", "torch FlopCounterMode / 2, CPU"
HOOKS, ATEN = "ptflops, backend pytorch", "ptflops, backend aten"
UNFUSED = ", unfused attention"

# G at 3x224x224: ours (and torch on meta), torch on the CPU, fvcore, both backends of ptflops, unfused fvcore and aten.
KNOWN = {
    "deit_small_patch16_224": ("4.599", "4.241", "4.251", "3.220", "4.249", "4.608", "4.607"),
    "pvt_v2_b2": ("4.027", "3.884", "3.903", "3.929", "3.908", "4.046", "4.050"),
    "resnet50": ("4.089", "4.089", "4.112", "4.132", "4.089", None, None),
    "swin_tiny_patch4_window7_224": ("4.491", "4.491", "4.509", "4.381", "4.504", None, None),
}


def lines_of(build: Callable[[], nn.Module], *inputs: torch.Tensor) -> dict[str, AuditLine]:
    lines = audit(build, inputs)
    assert len({line.counter for line in lines}) == len(lines)
    return {line.counter: line for line in lines}


def giga(line: AuditLine | None) -> str | None:
    return None if line is None else f"{line.gmacs:.3f}"


@pytest.mark.parametrize("name", KNOWN)
def test_known_figures_are_met_and_explained(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fvcore")
    pytest.importorskip("ptflops")
    lines = lines_of(lambda: timm.create_model(name), IMAGE)
    columns = (TORCH_CPU, "fvcore", HOOKS, ATEN, "fvcore" + UNFUSED, ATEN + UNFUSED)
    assert tuple(giga(lines.get(column)) for column in (OURS, *columns)) == KNOWN[name]
    assert giga(lines[TORCH_META]) == giga(lines[OURS])
    for counter, line in lines.items():
        assert line.unexplained == (None if counter == OURS else 0), counter
        assert counter == OURS or line.version
    assert capfd.readouterr() == ("", "")


def test_the_reasons_are_named() -> None:
    pytest.importorskip("fvcore")
    pytest.importorskip("ptflops")
    lines = lines_of(lambda: timm.create_model("deit_small_patch16_224"), IMAGE)
    assert lines[TORCH_META].explanation == "unexplained 0.0000"
    # 12 blocks · 2 · 197² · 384, and 25 norms of 197 · 384 at 5 each.
    attention, norms = 12 * 2 * 197**2 * 384, 25 * 197 * 384 * 5
    fvcore = lines["fvcore"]
    assert [reason.macs for reason in fvcore.reasons] == [-attention, norms]
    assert fvcore.explanation == (
        "−0.3577 attention products in a fused kernel not counted; +0.0095 LayerNorm at 5 per element; "
        "unexplained 0.0000"
    )
    # The four projections of each block vanish.
    hidden = next(reason for reason in lines[HOOKS].reasons if "projections" in reason.label)
    assert hidden.macs == -12 * 197 * 4 * 384**2


def test_what_is_not_modelled_is_shown_as_unexplained() -> None:
    pytest.importorskip("ptflops")

    class ByName(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(2).matmul(x.flatten(2).transpose(1, 2))

    line = lines_of(ByName, torch.zeros(1, 64, 64, 64))[HOOKS]
    product = 64 * 64 * 64**2
    assert (line.macs, line.difference, line.unexplained) == (product, 0, product)
    assert line.explanation == ("−0.0168 matrix products of classes without a hook not counted; unexplained +0.0168")


def test_the_fast_path_of_multi_head_attention_is_explained() -> None:
    pytest.importorskip("fvcore")
    pytest.importorskip("ptflops")

    def build() -> nn.Module:
        return VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=5
        )

    lines = lines_of(build, torch.empty(1, 3, 32, 32))
    projections, products = 2 * 4 * 17 * 32**2, 2 * 2 * 17**2 * 32
    inside = projections + products
    assert lines[OURS].note == f"{projections / 1e9:.4f} of it known from the dispatch only"
    assert lines[TORCH_CPU].difference == -inside
    assert [lines[counter].unexplained for counter in (TORCH_META, TORCH_CPU, "fvcore", ATEN)] == [0, 0, 0, 0]


def test_several_inputs_are_passed_on() -> None:
    pytest.importorskip("fvcore")
    pytest.importorskip("ptflops")

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 2, bias=False), nn.Linear(8, 2, bias=False)

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return self.left(left) + self.right(right)

    lines = lines_of(Pair, torch.zeros(1, 4), torch.zeros(1, 8))
    assert {line.macs for line in lines.values()} == {4 * 2 + 8 * 2}


@pytest.mark.parametrize(("package", "counters"), [("fvcore", {"fvcore"}), ("ptflops", {HOOKS, ATEN})])
def test_a_missing_counter_says_what_to_install(
    package: str, counters: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("dit_bench.cost.audit.counter_version", lambda name: None if name == package else "1")
    lines = lines_of(lambda: nn.Linear(3, 2), torch.zeros(1, 3))
    for counter in counters:
        line = lines[counter]
        assert (line.version, line.macs, line.difference, line.unexplained) == (None, None, None, None)
        assert line.explanation == f"not installed: {REMEDY}"
    assert lines[TORCH_CPU].macs == 6


def test_a_counter_that_gives_up_costs_only_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fvcore")
    pytest.importorskip("ptflops")

    class Picky(nn.Linear):
        """Refuses to be traced, and to run where functions are patched."""

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if torch.jit.is_tracing() or type(F.gelu).__module__.startswith("ptflops"):
                raise RuntimeError("not like this")
            return super().forward(input)

    lines = lines_of(lambda: Picky(3, 2), torch.zeros(1, 3))
    assert lines["fvcore"].explanation == "fvcore: gave up on this network: RuntimeError"
    assert lines[HOOKS].explanation == "ptflops: gave up on this network"
    assert lines[HOOKS].version
    assert lines[ATEN].macs == 6 + 2
    assert capfd.readouterr() == ("", "")


def test_nothing_stays_patched() -> None:
    pytest.importorskip("ptflops")
    before = (F.gelu, F.softmax, torch.matmul, torch.Tensor.matmul)
    lines_of(lambda: nn.Sequential(nn.Linear(3, 2), nn.GELU()), torch.zeros(1, 3))
    assert (F.gelu, F.softmax, torch.matmul, torch.Tensor.matmul) == before
