"""What single layers cost, by their class: closed-form MACs, and the elements that other conventions charge for.

Element terms are named `layer.<what>`; hook-based counters see these. What functions process, whoever calls them, is in
`calls.py`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from dit_bench.cost.attention import attention_formula
from dit_bench.cost.formulas import linear_macs

Kind = Literal["conv", "linear", "attention", "other"]
KINDS: tuple[Kind, ...] = ("conv", "linear", "attention", "other")

_NORMS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.SyncBatchNorm, "layer.sync_batch_norm"),  # before its base class
    (_BatchNorm, "layer.batch_norm"),
    (nn.LayerNorm, "layer.layer_norm"),
    (nn.GroupNorm, "layer.group_norm"),
    (_InstanceNorm, "layer.instance_norm"),
)
_ON_INPUT: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    ((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), "layer.pool"),
    ((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), "layer.adaptive_pool"),
    ((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), "layer.adaptive_pool"),
)
_ON_OUTPUT: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    ((nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6), "layer.relu"),
    ((nn.GELU,), "layer.gelu"),
    ((nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardswish, nn.Softplus), "layer.activation"),
    ((nn.Softmax,), "layer.softmax"),
    ((nn.Upsample,), "layer.upsample"),
)


def first_tensor(value: Any) -> torch.Tensor | None:
    """The tensor itself, or the first one in a tuple or list; None without any."""
    if isinstance(value, torch.Tensor):
        return value
    found = map(first_tensor, value if isinstance(value, (tuple, list)) else ())
    return next((tensor for tensor in found if tensor is not None), None)


def conv_layer_macs(module: _ConvNd, inputs: tuple[Any, ...], output: Any) -> int:
    """MACs of any convolution: positions · Πk · (in / groups) · out, over batch and *output* positions.

    A transposed convolution spreads every *input* position over the kernel, so its positions are the input's.
    Padding cells are counted, as every counter does.
    """
    transposed = isinstance(module, _ConvTransposeNd)
    positions = inputs[0].numel() // module.in_channels if transposed else output.numel() // module.out_channels
    return positions * math.prod(module.kernel_size) * (module.in_channels // module.groups) * module.out_channels


def linear_layer_macs(module: nn.Linear, inputs: tuple[Any, ...], output: Any) -> int:
    """MACs of a linear layer: rows · in · out, over all leading dimensions of the input."""
    return linear_macs(output.numel() // module.out_features, module.in_features, module.out_features)


def layer_kind(module: nn.Module) -> Kind:
    """What a layer with a closed form is; "other" for all that have none."""
    if isinstance(module, _ConvNd):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    return "attention" if attention_formula(type(module)) is not None else "other"


def closed_form_macs(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> int:
    """MACs of one call of a layer itself, without its children; 0 where no closed form is known.

    `inputs` are all arguments in the order of the call.
    """
    if isinstance(module, _ConvNd):
        return conv_layer_macs(module, inputs, output)
    if isinstance(module, nn.Linear):
        return linear_layer_macs(module, inputs, output)
    formula = attention_formula(type(module))
    return formula(module, inputs, output) if formula is not None else 0


def layer_elements(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> dict[str, int]:
    """Elements of one call that conventions charge for: at most one term, {} for most classes.

    Norms and pools count their input, activations and resizing their output, a bias the output that it is added to.
    Norms without scale and shift have a term of their own, suffix `.plain`, because counters charge less for them.
    """
    given, made = first_tensor(inputs), first_tensor(output)
    if given is None or made is None:
        return {}
    if isinstance(module, (_ConvNd, nn.Linear)):
        term = "layer.linear_bias" if isinstance(module, nn.Linear) else "layer.conv_bias"
        return {term: made.numel()} if module.bias is not None else {}
    for norm, term in _NORMS:
        if isinstance(module, norm):
            scaled = getattr(module, "weight", None) is not None
            return {term if scaled else f"{term}.plain": given.numel()}
    for table, counted in ((_ON_INPUT, given), (_ON_OUTPUT, made)):
        for classes, term in table:
            if isinstance(module, classes):
                return {term: counted.numel()}
    return {}
