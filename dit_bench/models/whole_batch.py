"""Layers that concern a whole batch, for networks that see a share of it: batch norm, dropout, drop path.

They take the place of torch's and timm's while a share is in force (see `shares.py`), under the same parameters and
buffers, and give what those would give for the images at hand if they saw all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from dit_bench.errors import UsageError
from dit_bench.models import shares


class _AddUp(torch.autograd.Function):
    """The sum of a tensor over all shares; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, add_up: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.add_up = add_up
        return add_up(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.add_up(gradients[0]), None


class _WholeBatchNorm(_BatchNorm):
    """Normalises with mean and variance over all shares, on any device; torch's SyncBatchNorm needs a GPU."""

    def forward(self, input: Tensor) -> Tensor:
        share = shares.current()
        if share is None or not self.training:
            return super().forward(input)
        dimensions = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        cells = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        own = cells.numel() // cells.shape[1]
        sums: Any = _AddUp.apply(torch.cat([cells.sum(dimensions), cells.new_tensor([own])]), share.add_up)
        count = max(float(sums[-1].detach()), 1.0)
        mean = sums[:-1] / count
        centred = cells - mean.view(shape)
        squares: Any = _AddUp.apply(centred.square().sum(dimensions), share.add_up)
        variance = squares / count
        self._update_statistics(mean.detach(), variance.detach() * count / max(count - 1, 1))
        normalised = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, unbiased: Tensor) -> None:
        if self.num_batches_tracked is None or self.running_mean is None or self.running_var is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)


class _WholeBatchDropPath(DropPath):
    """Drops paths as for the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        if shares.current() is None or self.drop_prob == 0.0 or not self.training:
            return super().forward(x)
        kept = 1 - self.drop_prob
        factors = shares.drawn((len(x), *[1] * (x.dim() - 1)), lambda shape: x.new_empty(shape).bernoulli_(kept))
        return x * (factors / kept if kept > 0.0 and self.scale_by_keep else factors)


class _WholeBatchDropout(nn.Dropout):
    """Drops single values as for the whole batch."""

    def forward(self, input: Tensor) -> Tensor:
        if shares.current() is None or self.p == 0.0 or not self.training:
            return super().forward(input)
        return input * _dropout_factors(input, self.p)


class _WholeBatchDropout2d(nn.Dropout2d):
    """Drops channels as for the whole batch."""

    def forward(self, input: Tensor) -> Tensor:
        if shares.current() is None or self.p == 0.0 or not self.training:
            return super().forward(input)
        kept = 1 - self.p
        shape = (*input.shape[:2], *[1] * (input.dim() - 2))
        return input * shares.drawn(shape, lambda whole: input.new_empty(whole).bernoulli_(kept).div_(kept))


def _dropout_factors(values: Tensor, probability: float) -> Tensor:
    return shares.drawn(values.shape, lambda shape: functional.dropout(values.new_ones(shape), probability))


def attend(queries: Tensor, keys: Tensor, values: Tensor, key_mask: Tensor | None, dropout: float) -> Tensor:
    """`scaled_dot_product_attention` of `(n · k, heads, …, d)`; its weights are dropped as for the whole batch.

    `key_mask` is boolean, True where there is something to attend to.
    """
    if dropout == 0.0 or shares.current() is None:
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=key_mask, dropout_p=dropout)
    scores = queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    return (weights * _dropout_factors(weights, dropout)) @ values


_SUBSTITUTES: dict[type[nn.Module], type[nn.Module]] = {
    DropPath: _WholeBatchDropPath,
    nn.Dropout: _WholeBatchDropout,
    nn.Dropout2d: _WholeBatchDropout2d,
    nn.BatchNorm1d: _WholeBatchNorm,
    nn.BatchNorm2d: _WholeBatchNorm,
}


class WholeBatchLayers:
    """The layers of a network that are replaced while it computes shares of batches."""

    def __init__(self, model: nn.Module, device: torch.device):
        substitutes = dict(_SUBSTITUTES)
        if device.type == "cuda":
            # Faster there, and the same function.
            substitutes |= dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), nn.SyncBatchNorm)
        self._layers: list[tuple[nn.Module, type[nn.Module], type[nn.Module]]] = []
        for name, module in model.named_modules():
            kind = type(module)
            if kind in substitutes:
                self._layers.append((module, kind, substitutes[kind]))
                if substitutes[kind] is nn.SyncBatchNorm:
                    module.process_group = None  # type: ignore[assignment]  # that of all processes
            elif isinstance(module, _BatchNorm) or (isinstance(module, _DropoutNd) and module.p > 0.0):
                raise UsageError(
                    f"{name} is a {kind.__name__}, whose batch cannot be shared out",
                    remedy="train this network in one process and without --accumulation-steps",
                )

    @property
    def batch_norms(self) -> list[nn.Module]:
        """The batch norms that are in training mode, and so depend on all images of a batch."""
        return [module for module, _, _ in self._layers if isinstance(module, _BatchNorm) and module.training]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the layers concern the whole batch."""
        for module, _, substitute in self._layers:
            module.__class__ = substitute
        try:
            yield
        finally:
            for module, own, _ in self._layers:
                module.__class__ = own
