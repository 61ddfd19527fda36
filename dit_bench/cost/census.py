"""Count a static network in one forward pass: closed forms per layer beside what torch dispatched, and parameters.

The pass usually runs on the meta device, where nothing is computed. Everything is integers over the whole batch given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from dit_bench.cost.calls import CallRecorder
from dit_bench.cost.counter import DispatchCounter, dispatch_counter
from dit_bench.cost.layers import Kind, closed_form_macs, layer_elements, layer_kind


@dataclass(frozen=True)
class LayerCost:
    """What one module itself cost, without its children, summed over its calls."""

    path: str
    """Dotted name inside the model, "" for the model itself; a shared module has the first of its names."""
    cls: type[nn.Module]
    kind: Kind
    """What the layer is; "other" without a closed form, so that only the dispatch knows its matrix products."""
    closed_form_macs: int
    dispatched_macs: int
    elements: Mapping[str, int]
    """Elements per term of `layers.py` and `calls.py`."""
    params: int
    """Values in its own parameters; a parameter shared by several modules belongs to the first."""
    trainable_params: int
    buffers: int
    """Values in its own buffers."""
    calls: int

    @property
    def type_name(self) -> str:
        """Name of the module's class."""
        return self.cls.__name__

    @property
    def has_formula(self) -> bool:
        """Whether `macs` is a closed form."""
        return self.kind != "other"

    @property
    def macs_by_kind(self) -> dict[Kind, int]:
        """MACs of matrix products: the closed form, or where there is none what was dispatched.

        Attention products that a module asks for by function, not through a layer, have a closed form nevertheless.
        """
        if self.has_formula:
            return {self.kind: self.closed_form_macs}
        products = min(self.elements.get("fused_attention", 0), self.dispatched_macs)
        return {"attention": products, "other": self.dispatched_macs - products}

    @property
    def macs(self) -> int:
        """MACs of matrix products of all kinds."""
        return sum(self.macs_by_kind.values())


@dataclass(frozen=True)
class Mismatch:
    """A module whose closed form is not what it dispatched."""

    path: str
    closed_form_macs: int
    dispatched_macs: int


@dataclass(frozen=True)
class Census:
    """The cost of every module of a network for one input."""

    layers: tuple[LayerCost, ...]
    """All modules in the order of `named_modules()`, those never called included."""
    input_shapes: tuple[tuple[int, ...], ...]
    """Shapes of the tensors that the network was given, batch included."""

    @property
    def macs(self) -> int:
        """MACs of all matrix products (convention `matmul`): closed forms, and the dispatch where there are none."""
        return sum(layer.macs for layer in self.layers)

    @property
    def closed_form_macs(self) -> int:
        """MACs that closed forms give."""
        return self.macs - self.without_formula

    @property
    def without_formula(self) -> int:
        """MACs that only the dispatch knows (kind "other")."""
        return self.terms["other"]

    @property
    def dispatched_macs(self) -> int:
        """MACs that torch dispatched."""
        return sum(layer.dispatched_macs for layer in self.layers)

    @property
    def unexplained(self) -> list[Mismatch]:
        """Layers with a closed form that dispatched something else; empty unless a formula is wrong."""
        return [
            Mismatch(layer.path, layer.closed_form_macs, layer.dispatched_macs)
            for layer in self.layers
            if layer.has_formula and layer.closed_form_macs != layer.dispatched_macs
        ]

    @property
    def params(self) -> int:
        """Values in all parameters, shared ones once."""
        return sum(layer.params for layer in self.layers)

    @property
    def trainable_params(self) -> int:
        """Values in the parameters that ask for gradients."""
        return sum(layer.trainable_params for layer in self.layers)

    @property
    def buffers(self) -> int:
        """Values in all buffers, such as running statistics."""
        return sum(layer.buffers for layer in self.layers)

    @cached_property
    def terms(self) -> Mapping[str, int]:
        """All that conventions weigh: MACs per kind, elements per term; terms that do not occur count 0."""
        totals: Counter[str] = Counter()
        for layer in self.layers:
            totals.update(layer.macs_by_kind)
            totals.update(layer.elements)
        return totals


@dataclass
class _Record:
    """What a module did so far."""

    closed_form_macs: int = 0
    dispatched_macs: int = 0
    calls: int = 0
    elements: Counter[str] = field(default_factory=Counter)


class _Recorder:
    """Follows one forward pass through hooks and shares out what is dispatched among the modules."""

    def __init__(self, model: nn.Module):
        self.records = {path: _Record() for path, _ in model.named_modules()}
        self._paths = {module: path for path, module in model.named_modules()}
        # What runs before the first module is entered is the model's, too.
        self._running = [self.records[""]]
        self._attributed_macs = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count while the block runs."""
        with dispatch_counter() as counter, CallRecorder(self._count_elements):
            handles = [module.register_forward_pre_hook(self._enter(counter)) for module in self._paths]
            handles += [module.register_forward_hook(self._leave(counter), with_kwargs=True) for module in self._paths]
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def _count_elements(self, elements: Mapping[str, int]) -> None:
        self._running[-1].elements.update(elements)

    def _attribute(self, counter: DispatchCounter) -> None:
        """Give what was dispatched since the last look to the module that has been running since."""
        macs = counter.macs
        self._running[-1].dispatched_macs += macs - self._attributed_macs
        self._attributed_macs = macs

    def _enter(self, counter: DispatchCounter) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            self._attribute(counter)
            self._running.append(self.records[self._paths[module]])

        return hook

    def _leave(self, counter: DispatchCounter) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            self._attribute(counter)
            record = self._running.pop()
            inputs = (*args, *kwargs.values())
            record.closed_form_macs += closed_form_macs(module, inputs, output)
            record.elements.update(layer_elements(module, inputs, output))
            record.calls += 1

        return hook


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """All modules in eval mode, and afterwards as they were."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _own_values(module: nn.Module, seen: set[torch.Tensor]) -> tuple[int, int, int]:
    """Values in parameters, trainable parameters and buffers of a module itself that were not `seen` before."""
    params = [param for param in module.parameters(recurse=False) if param not in seen]
    buffers = [buffer for buffer in module.buffers(recurse=False) if buffer not in seen]
    seen.update(params, buffers)
    return (
        sum(param.numel() for param in params),
        sum(param.numel() for param in params if param.requires_grad),
        sum(buffer.numel() for buffer in buffers),
    )


def take_census(model: nn.Module, *inputs: Any) -> Census:
    """Run `model(*inputs)` once in eval mode without gradients and count every module.

    Model and inputs lie on one device, best on "meta": the counts are the same and no values are needed. The cost of a
    network whose control flow looks at values cannot be had so; on any device the count is that of this one input.
    """
    recorder = _Recorder(model)
    with _evaluating(model), recorder.watching():
        model(*inputs)
    seen: set[torch.Tensor] = set()
    layers = []
    for path, module in model.named_modules():
        record = recorder.records[path]
        params, trainable_params, buffers = _own_values(module, seen)
        layers.append(
            LayerCost(
                path=path,
                cls=type(module),
                kind=layer_kind(module),
                closed_form_macs=record.closed_form_macs,
                dispatched_macs=record.dispatched_macs,
                elements=dict(record.elements),
                params=params,
                trainable_params=trainable_params,
                buffers=buffers,
                calls=record.calls,
            )
        )
    shapes = tuple(tuple(value.shape) for value in inputs if isinstance(value, torch.Tensor))
    return Census(tuple(layers), shapes)
