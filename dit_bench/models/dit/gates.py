"""The routing gates of DiT: a linear map to two logits, a hard decision with a straight-through gradient (§3.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.cost.formulas import linear_macs
from dit_bench.models import shares
from dit_bench.models.dit.kernels import Kernel
from dit_bench.models.dit.norms import normalised
from dit_bench.models.dit.options import GateOptions

LAYER_NORM_EPS = 1e-5
"""What `functional.layer_norm` adds to the variance."""


class RoutingGate(nn.Module, ABC):
    """Decides keep (1) or skip (0) for each feature vector (DiT Eq. 1-3), from scores that a subclass gives it.

    The same class serves row gates, on tokens `(B, L, C)`, and column gates, on pooled maps `(B, C)`. In training the
    decision is a hard Gumbel-Softmax sample of the *logits* (the paper's Eq. 2 names probabilities, which would confine
    the keep chance to [0.27, 0.73]), computed in fp32; in inference it is the arg-max under the moving average of the
    parameters (Eq. 3).
    """

    ema_updates: Tensor

    def __init__(self, options: GateOptions, *, initially_open: bool):
        super().__init__()
        self.options = options
        self.initial_gap = options.initial_keep_logit if initially_open else options.initial_skip_logit
        """Keep minus skip logit of every token at first."""
        self.register_buffer("ema_updates", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def reset_parameters(self) -> None:
        """The parameters of the start, with the initial logit gap on every token."""

    @abstractmethod
    def copy_to_ema(self) -> None:
        """Start the moving average from the current parameters."""

    @abstractmethod
    def fix(self, *, keep: bool) -> None:
        """Decide the same for every token at inference, whatever it is, at the cost of deciding."""

    @abstractmethod
    def exercise(self) -> None:
        """Draw parameters at which the decisions differ from token to token; for audits of what they cost."""

    @abstractmethod
    def macs(self, num_vectors: int) -> int:
        """MACs of the decisions for the feature vectors of one image."""

    @abstractmethod
    def scores(self, features: Tensor) -> Tensor:
        """Keep and skip logits `(..., 2)` of fp32 features; from the moving average when not training."""

    @abstractmethod
    def average(self, momentum: float) -> None:
        """Move the average towards the current parameters, of which it keeps the share `momentum`."""

    @torch.no_grad()
    def update_ema(self) -> None:
        """Eq. 3, after each optimiser step; the momentum is reached through min(m, (1 + t) / (10 + t))."""
        step = int(self.ema_updates)
        self.average(min(self.options.ema_momentum, (1 + step) / (10 + step)))
        self.ema_updates += 1

    def logits(self, features: Tensor) -> Tensor:
        """Keep and skip logits `(..., 2)` in fp32 of features of any precision, detached and normalised if asked."""
        # Gumbel noise and close decisions do not survive half precision.
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.options.detach_input:
                features = features.detach()
            if self.options.normalise_input:
                features = functional.layer_norm(features, features.shape[-1:])
            return self.scores(features)

    def forward(
        self, features: Tensor, *, noise: float, generator: torch.Generator | None, compiled: bool = False
    ) -> Tensor:
        """The decision `(...)`, exactly 0 or 1, with the gradient of the soft keep probability in training.

        In inference, `compiled` takes it in one pass over the features where there is a kernel for that.
        """
        logits = self.logits(features)
        if not self.training:
            return (logits[..., 0] >= logits[..., 1]).float()
        if noise > 0.0:
            logits = logits + noise * gumbel(logits.shape, generator, logits.device)
        soft = torch.softmax(logits / self.options.temperature, dim=-1)[..., 0]
        hard = (logits[..., 0] >= logits[..., 1]).float()
        # In this order the difference is exactly 0: otherwise some decisions would be 1 + 6e-8, and the largest of them
        # would take the whole gradient of a maximum.
        return hard + (soft - soft.detach())


class Gate(RoutingGate):
    """The paper's gate: a linear map of the features."""

    ema_weight: Tensor
    ema_bias: Tensor

    def __init__(self, width: int, options: GateOptions, *, initially_open: bool):
        super().__init__(options, initially_open=initially_open)
        self.projection = nn.Linear(width, 2)
        self.register_buffer("ema_weight", torch.empty(2, width))
        self.register_buffer("ema_bias", torch.empty(2))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Small random weights; the bias puts the initial logit gap (keep minus skip) on every token."""
        nn.init.normal_(self.projection.weight, std=0.02)
        self.projection.bias.copy_(torch.tensor([self.initial_gap / 2, -self.initial_gap / 2]))
        self.copy_to_ema()

    @torch.no_grad()
    def copy_to_ema(self) -> None:
        """See `RoutingGate`."""
        self.ema_weight.copy_(self.projection.weight)
        self.ema_bias.copy_(self.projection.bias)
        self.ema_updates.zero_()

    @torch.no_grad()
    def fix(self, *, keep: bool) -> None:
        """See `RoutingGate`."""
        self.ema_weight.zero_()
        self.ema_bias.copy_(torch.tensor([1.0, -1.0] if keep else [-1.0, 1.0]))

    @torch.no_grad()
    def exercise(self) -> None:
        """See `RoutingGate`."""
        nn.init.normal_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        self.copy_to_ema()

    def macs(self, num_vectors: int) -> int:
        """See `RoutingGate`: two logits."""
        return linear_macs(num_vectors, self.projection.in_features, 2)

    @torch.no_grad()
    def average(self, momentum: float) -> None:
        """See `RoutingGate`."""
        self.ema_weight.lerp_(self.projection.weight, 1 - momentum)
        self.ema_bias.lerp_(self.projection.bias, 1 - momentum)

    def scores(self, features: Tensor) -> Tensor:
        """See `RoutingGate`."""
        if self.training:
            return functional.linear(features, self.projection.weight.float(), self.projection.bias.float())
        return functional.linear(features, self.ema_weight.float(), self.ema_bias.float())

    def forward(
        self, features: Tensor, *, noise: float, generator: torch.Generator | None, compiled: bool = False
    ) -> Tensor:
        """See `RoutingGate`; there is a kernel where there is a compiler."""
        if compiled and not self.training and self.options.normalise_input:
            decision = _kernel(features, self.ema_weight, self.ema_bias)
            if decision is not None:
                return decision
        return super().forward(features, noise=noise, generator=generator)


def _keeps(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`Gate.forward` in inference: keep where the gap of the two logits, on normalised features, is not negative."""
    gap = (normalised(features, LAYER_NORM_EPS) * (weight[0] - weight[1])).sum(dim=-1)
    return (gap + bias[0] - bias[1] >= 0).float()


_kernel = Kernel(_keeps)


def gumbel(shape: torch.Size, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Standard Gumbel noise in fp32, from its own random stream."""
    uniform = shares.drawn(shape, lambda whole: torch.rand(whole, generator=generator, device=device))
    tiny = torch.finfo(torch.float32).tiny
    exponential = -torch.log(uniform.clamp_min(tiny))
    return -torch.log(exponential.clamp_min(tiny))
