"""What functions process, whoever calls them: elements, and the MACs inside fused attention kernels.

Counters that trace or dispatch see functions, not layers: a `F.interpolate` in the middle of a forward counts for them
and is invisible to a hook. Terms are named `call.<what>`, but for `fused_attention`, which is in MACs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

Elements = dict[str, int]
_Measure = Callable[[tuple[Any, ...], dict[str, Any], Any], Elements]


def _argument(position: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], default: Any = None) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _on_input(term: str) -> _Measure:
    return lambda args, kwargs, output: {term: _argument(0, "input", args, kwargs).numel()}


def _on_output(term: str) -> _Measure:
    return lambda args, kwargs, output: {term: output.numel()}


def _norm(term: str, weight_position: int) -> _Measure:
    """Input elements; without scale and shift under `<term>.plain`."""

    def measure(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Elements:
        scaled = _argument(weight_position, "weight", args, kwargs) is not None
        return {term if scaled else f"{term}.plain": _argument(0, "input", args, kwargs).numel()}

    return measure


def _conv_bias(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Elements:
    return {} if _argument(2, "bias", args, kwargs) is None else {"call.conv_bias": output.numel()}


def _linear_bias(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Elements:
    """Output elements with a bias; `.separate` where torch adds it after the product instead of within it.

    It does so for inputs of three and more dimensions that are not contiguous.
    """
    if _argument(2, "bias", args, kwargs) is None:
        return {}
    given = _argument(0, "input", args, kwargs)
    within = given.dim() <= 2 or given.is_contiguous()
    return {"call.linear_bias" if within else "call.linear_bias.separate": output.numel()}


def _upsample(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Elements:
    """Output elements by mode; other modes than nearest and bilinear together."""
    mode = _argument(3, "mode", args, kwargs, "nearest")
    known = mode in ("nearest", "bilinear") and output.dim() == 4
    return {f"call.upsample_{mode if known else 'other'}": output.numel()}


def _fused_attention(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Elements:
    """MACs of both products: B · heads · queries · keys · (d_qk + d_v)."""
    query = _argument(0, "query", args, kwargs)
    key, value = _argument(1, "key", args, kwargs), _argument(2, "value", args, kwargs)
    return {"fused_attention": query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])}


def _multi_head_attention(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Elements:
    """`nn.MultiheadAttention` uses the fused kernel unless asked for weights; query (L, B, C), key (S, B, C)."""
    if _argument(15, "need_weights", args, kwargs, True):
        return {}
    query, key = _argument(0, "query", args, kwargs), _argument(1, "key", args, kwargs)
    return {"fused_attention": 2 * query.numel() * key.shape[0]}


def _table() -> dict[Any, _Measure]:
    table: dict[Any, _Measure] = {
        F.scaled_dot_product_attention: _fused_attention,
        F.multi_head_attention_forward: _multi_head_attention,
        F.linear: _linear_bias,
        F.adaptive_avg_pool2d: _on_input("call.adaptive_avg_pool2d"),
        F.interpolate: _upsample,
        F.grid_sample: _on_output("call.grid_sample"),
        F.softmax: _on_input("call.softmax"),
    }

    def add(functions: Iterable[Any], measure: _Measure) -> None:
        table.update(dict.fromkeys(functions, measure))

    add((F.conv1d, F.conv2d, F.conv3d), _conv_bias)
    add((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), _conv_bias)
    # torch's own two take scale and shift before the running statistics.
    for name in ("batch_norm", "instance_norm"):
        table[getattr(F, name)] = _norm(f"call.{name}", 3)
        table[getattr(torch, name)] = _norm(f"call.{name}", 1)
    add((F.layer_norm, torch.layer_norm), _norm("call.layer_norm", 2))
    add((F.group_norm, torch.group_norm), _norm("call.group_norm", 2))
    add((F.relu, F.relu6, F.elu, F.prelu, F.gelu, F.silu), _on_input("call.activation"))
    add((F.max_pool1d, F.max_pool2d, F.max_pool3d, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d), _on_input("call.pool"))
    add((F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d), _on_input("call.pool"))
    add((F.adaptive_avg_pool1d, F.adaptive_avg_pool3d), _on_input("call.pool"))
    return table


_MEASURES = _table()


class CallRecorder(TorchFunctionMode):
    """Reports the elements of every known function that is called while the mode is on.

    Functions called inside a known or unknown torch function are not seen: only what a module's code calls.
    """

    def __init__(self, report: Callable[[Elements], None]):
        super().__init__()
        self._report = report

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        measure = _MEASURES.get(func)
        if measure is not None:
            self._report(measure(args, kwargs, output))
        return output
