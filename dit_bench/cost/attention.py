"""Closed forms of the two attention products, Q K' and A V, for each class of attention that we know.

The projections around the products are `nn.Linear` children and count there. A class without an entry is no error: its
products are then known from the dispatch alone, and the census says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from timm.layers import Attention
from timm.models.pvt_v2 import Attention as PyramidAttention
from timm.models.swin_transformer import WindowAttention
from timm.models.tnt import Attention as PixelAttention
from torch import nn

from dit_bench.cost.formulas import attention_macs

AttentionModule = TypeVar("AttentionModule", bound=nn.Module)
AttentionFormula = Callable[[AttentionModule, tuple[Any, ...], Any], int]
"""(module, its inputs in the order of the call, its output) to the MACs of both products over the batch."""

_FORMULAS: dict[type[nn.Module], AttentionFormula[Any]] = {}


def register_attention(cls: type[AttentionModule], formula: AttentionFormula[AttentionModule]) -> None:
    """Give `cls` and its subclasses a closed form; the one of the nearest base class holds.

    The formula must not count child modules: they have their own entries.
    """
    assert cls not in _FORMULAS, f"{cls.__qualname__} has a formula already"
    _FORMULAS[cls] = formula


def attention_formula(cls: type[nn.Module]) -> AttentionFormula[Any] | None:
    """The closed form registered for a class or for its nearest base class."""
    return next((_FORMULAS[base] for base in cls.__mro__ if base in _FORMULAS), None)


def global_attention_macs(module: Attention, inputs: tuple[Any, ...], output: Any) -> int:
    """ViT and DeiT, all N tokens attend to all: B · 2 N² C (Dosovitskiy et al., 2021, appendix A, eqs. 5-8)."""
    batch, tokens, _ = inputs[0].shape
    return batch * attention_macs(tokens, tokens, module.attn_dim)


def pyramid_attention_macs(module: PyramidAttention, inputs: tuple[Any, ...], output: Any) -> int:
    """PVTv2 on an h x w grid: B · 2 · h w · m · C, with m keys after the spatial reduction.

    SR attention (PVT §3.3, eqs. 1-3): m = floor(h / R) · floor(w / R); without reduction m = h w. Linear SR attention
    (PVTv2 §3.2): m = P² with the pooling size P = 7.
    """
    batch, tokens, width = inputs[0].shape
    height, grid_width = inputs[1]
    if module.pool is not None:
        side = module.pool.output_size
        assert isinstance(side, int)
        keys = side**2
    elif module.sr is not None:
        keys = (height // module.sr.stride[0]) * (grid_width // module.sr.stride[1])
    else:
        keys = tokens
    return batch * attention_macs(tokens, keys, width)


def window_attention_macs(module: WindowAttention, inputs: tuple[Any, ...], output: Any) -> int:
    """Swin, M x M tokens of a window among themselves: windows · 2 M⁴ C (Liu et al., 2021, §3.2, eq. 2).

    The input is already cut into windows, (windows over the batch, M², C), padding included.
    """
    windows, tokens, _ = inputs[0].shape
    return windows * attention_macs(tokens, tokens, module.proj.in_features)


def pixel_attention_macs(module: PixelAttention, inputs: tuple[Any, ...], output: Any) -> int:
    """TNT, inner and outer transformer: B · N² · (d_qk + d_v) (Han et al., 2021, §2.2).

    In the inner transformer B counts the patches of all images and N the pixels (words) of a patch.
    """
    batch, tokens, _ = inputs[0].shape
    return batch * tokens**2 * (module.hidden_dim + module.v.out_features)


register_attention(Attention, global_attention_macs)
register_attention(PyramidAttention, pyramid_attention_macs)
register_attention(WindowAttention, window_attention_macs)
register_attention(PixelAttention, pixel_attention_macs)
