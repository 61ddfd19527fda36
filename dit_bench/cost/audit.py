"""Our count of a static network beside that of other counters, with the reason of every difference.

Each counter is modelled as weights on the terms of the census. What the model leaves over is shown as unexplained: 0
where we know what a counter does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from dit_bench.cost.census import Census, take_census
from dit_bench.cost.conventions import FVCORE, MATMUL, Convention, Difference, differences, without_fused_attention
from dit_bench.cost.counters import (
    CounterError,
    counter_version,
    fvcore_macs,
    lost_to_fast_path,
    ptflops_macs,
    torch_macs,
)
from dit_bench.cost.ptflops_model import ptflops_pytorch_differences

REMEDY = "pip install 'dit-bench[audit]'"
PTFLOPS_ATEN = Convention(
    "ptflops-aten",
    "ptflops, backend aten: matrix products and biases",
    # A bias that torch adds by itself is an addition, which this backend does not count.
    {**MATMUL.weights, "call.conv_bias": 1, "call.linear_bias": 1},
)


@dataclass(frozen=True)
class AuditLine:
    """What one counter says about the network."""

    counter: str
    version: str | None
    """Version of the counter's package; None for our own count and where it is not installed."""
    macs: int | None
    """Its figure; None where it gave none."""
    difference: int | None
    """Its figure minus ours; None for ours and where there is no figure."""
    reasons: tuple[Difference, ...]
    """The parts of the difference that we can account for."""
    note: str | None = None
    """Why there is no figure and what to do about it, or what is special about it."""

    @property
    def gmacs(self) -> float | None:
        """The figure in GMACs."""
        return None if self.macs is None else self.macs / 1e9

    @property
    def unexplained(self) -> int | None:
        """The difference minus its reasons, in MACs."""
        return None if self.difference is None else self.difference - sum(reason.macs for reason in self.reasons)

    @property
    def explanation(self) -> str:
        """The reasons in GMACs as one line, what is unexplained at its end; the note where there is no difference."""
        if self.unexplained is None:
            return self.note or ""
        parts = [f"{_gmacs(reason.macs)} {reason.label}" for reason in self.reasons]
        return "; ".join([*parts, f"unexplained {_gmacs(self.unexplained)}"])


def _gmacs(macs: int) -> str:
    """Signed GMACs with four decimals and a proper minus; what rounds to zero has no sign."""
    text = f"{macs / 1e9:+.4f}".replace("-", "−")
    return text if text.strip("+−0.") else "0.0000"


def _zeroed(model: nn.Module) -> nn.Module:
    """The model on the CPU with all parameters and buffers 0: valid indices, no time for random initialisation."""
    model = model.to_empty(device="cpu").eval()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.zero_()
    return model


def _unfuse(model: nn.Module) -> bool:
    """Have timm's attention multiply explicitly; whether any would have used the fused kernel."""
    fused = [module for module in model.modules() if getattr(module, "fused_attn", None) is True]
    for module in fused:
        module.__dict__["fused_attn"] = False
    return bool(fused)


@dataclass(frozen=True)
class _Auditor:
    """Makes the lines of one network."""

    ours: int

    def line(self, counter: str, package: str, count: Callable[[], int], reasons: Sequence[Difference]) -> AuditLine:
        """One counter's line; a counter that is missing or gives up gets a line that says so."""
        try:
            macs = count()
        except CounterError as error:
            installed = counter_version(package)
            note = f"{package}: {error}" if installed else f"not installed: {REMEDY}"
            return AuditLine(counter, installed, None, None, (), note)
        return AuditLine(counter, counter_version(package), macs, macs - self.ours, tuple(reasons))


def audit(build: Callable[[], nn.Module], inputs: Sequence[torch.Tensor]) -> list[AuditLine]:
    """Count a static network with every counter that is installed: our closed form first, then the others.

    `build` makes the network; it is called twice, under the meta device, and only the structure matters: parameters
    are 0 where a counter needs a real forward pass. Of `inputs`, one image (1, C, H, W) and whatever else the forward
    takes by position, shapes and types matter: the counters get zeros. Peak memory: one copy of the network on the CPU.
    """
    assert inputs, "a network without inputs has no cost"
    given = [torch.zeros_like(tensor, device="cpu") for tensor in inputs]
    shapes = [torch.zeros_like(tensor, device="meta") for tensor in inputs]
    with torch.device("meta"):
        symbolic, model = build().eval(), _zeroed(build())
    # Not on meta: memory layouts differ there, and which biases torch adds within a product depends on them.
    census = take_census(model, *given)
    auditor = _Auditor(census.macs)
    note = f"{census.without_formula / 1e9:.4f} of it known from the dispatch only" if census.without_formula else None
    lines = [
        AuditLine("dit-bench, closed form", None, census.macs, None, (), note),
        auditor.line("torch FlopCounterMode / 2, meta", "torch", lambda: torch_macs(symbolic, shapes), ()),
    ]
    return lines + _cpu_lines(auditor, census, model, given)


def _cpu_lines(auditor: _Auditor, census: Census, model: nn.Module, inputs: Sequence[torch.Tensor]) -> list[AuditLine]:
    """The lines of the counters that need a real forward pass, fused attention first."""
    lost = Difference("rest of nn.MultiheadAttention in its fast path not counted", -lost_to_fast_path(model, inputs))

    def line(name: str, package: str, count: Callable[[], int], convention: Convention) -> AuditLine:
        reasons = differences(census, convention)
        return auditor.line(name, package, count, [*reasons, lost] if lost.macs else reasons)

    def fvcore() -> int:
        return fvcore_macs(model, inputs)

    def aten() -> int:
        return ptflops_macs(model, inputs, "aten")

    lines = [
        line(
            "torch FlopCounterMode / 2, CPU",
            "torch",
            lambda: torch_macs(model, inputs),
            without_fused_attention(MATMUL),
        ),
        line("fvcore", "fvcore", fvcore, without_fused_attention(FVCORE)),
        auditor.line(
            "ptflops, backend pytorch",
            "ptflops",
            lambda: ptflops_macs(model, inputs, "pytorch"),
            ptflops_pytorch_differences(census, model),
        ),
        line("ptflops, backend aten", "ptflops", aten, without_fused_attention(PTFLOPS_ATEN)),
    ]
    if _unfuse(model):
        lines += [
            line("fvcore, unfused attention", "fvcore", fvcore, FVCORE),
            line("ptflops, backend aten, unfused attention", "ptflops", aten, PTFLOPS_ATEN),
        ]
    return lines
