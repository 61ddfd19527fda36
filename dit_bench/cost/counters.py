"""Run other people's FLOP counters on given inputs, quietly.

Each returns the MACs over the batch, or raises `CounterError`. Inputs are always passed on explicitly: left to itself,
ptflops feeds uninitialised memory.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dit_bench.cost.counter import no_fast_path


class CounterError(Exception):
    """A counter that is not installed or gave up on a network; the message says which."""


def counter_version(package: str) -> str | None:
    """Installed version of a counter's package; None where it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No prints, warnings or log lines from inside the block."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


def _load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CounterError("not installed") from error


def torch_macs(model: nn.Module, inputs: Sequence[torch.Tensor]) -> int:
    """The counter of torch as it comes, halved: it counts two FLOPs per MAC."""
    with _quiet(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops() // 2


def lost_to_fast_path(model: nn.Module, inputs: Sequence[torch.Tensor]) -> int:
    """MACs that counters on the CPU lose to the fast path of `nn.MultiheadAttention`, one kernel without a formula.

    Its attention products are not among them: step by step they run in a fused kernel, which is lost anyhow.
    """
    if not any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        return 0
    with no_fast_path():
        step_by_step = torch_macs(model, inputs)
    return step_by_step - torch_macs(model, inputs)


def fvcore_macs(model: nn.Module, inputs: Sequence[torch.Tensor]) -> int:
    """FlopCountAnalysis of fvcore, which traces the model and therefore needs real devices."""
    with _quiet(), torch.no_grad():
        analysis = _load("fvcore.nn").FlopCountAnalysis(model, tuple(inputs))
        try:
            return int(analysis.total())
        except Exception as error:  # whatever its tracing meets in a network that we do not know
            raise CounterError(f"gave up on this network: {type(error).__name__}") from error


class _Bound(nn.Module):
    """A model with all inputs but the first bound, for counters that pass on one."""

    def __init__(self, model: nn.Module, rest: Sequence[torch.Tensor]):
        super().__init__()
        self.model = model
        self.rest = rest

    def forward(self, first: torch.Tensor) -> Any:
        return self.model(first, *self.rest)


def ptflops_macs(model: nn.Module, inputs: Sequence[torch.Tensor], backend: Literal["pytorch", "aten"]) -> int:
    """The counter of ptflops with one of its backends; `pytorch` reports layers per image: the batch has to be 1."""
    first, *rest = inputs
    assert len(first) == 1, "ptflops mixes figures per image and per batch"
    with _quiet(), torch.no_grad():
        macs, _ = _load("ptflops").get_model_complexity_info(
            _Bound(model, rest) if rest else model,
            tuple(first.shape[1:]),
            input_constructor=lambda _: first,
            as_strings=False,
            print_per_layer_stat=False,
            backend=backend,
        )
    if macs is None:
        raise CounterError("gave up on this network")
    return int(macs)
