"""The routing gates of DiT: a linear map to two logits, a hard decision with a straight-through gradient (§3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_bench.models.dit.kernels import Kernel
from dit_bench.models.dit.norms import normalised
from dit_bench.models.dit.options import GateOptions

LAYER_NORM_EPS = 1e-5
"""What `functional.layer_norm` adds to the variance."""


class Gate(nn.Module):
    """Decides keep (1) or skip (0) for each feature vector (DiT Eq. 1-3).

    The same class serves row gates, on tokens `(B, L, C)`, and column gates, on pooled maps `(B, C)`. In training the
    decision is a hard Gumbel-Softmax sample of the *logits* (the paper's Eq. 2 names probabilities, which would confine
    the keep chance to [0.27, 0.73]), computed in fp32; in inference it is the arg-max under the moving average of the
    projection (Eq. 3).
    """

    ema_weight: Tensor
    ema_bias: Tensor
    ema_updates: Tensor

    def __init__(self, width: int, options: GateOptions, *, initially_open: bool):
        super().__init__()
        self.options = options
        self.projection = nn.Linear(width, 2)
        self.initial_gap = options.initial_keep_logit if initially_open else options.initial_skip_logit
        self.register_buffer("ema_weight", torch.empty(2, width))
        self.register_buffer("ema_bias", torch.empty(2))
        self.register_buffer("ema_updates", torch.zeros((), dtype=torch.int64))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Small random weights; the bias puts the initial logit gap (keep minus skip) on every token."""
        nn.init.normal_(self.projection.weight, std=0.02)
        self.projection.bias.copy_(torch.tensor([self.initial_gap / 2, -self.initial_gap / 2]))
        self.copy_to_ema()

    @torch.no_grad()
    def copy_to_ema(self) -> None:
        """Start the moving average from the current projection."""
        self.ema_weight.copy_(self.projection.weight)
        self.ema_bias.copy_(self.projection.bias)
        self.ema_updates.zero_()

    @torch.no_grad()
    def fix(self, *, keep: bool) -> None:
        """Decide the same for every token at inference, whatever it is, at the cost of deciding."""
        self.ema_weight.zero_()
        self.ema_bias.copy_(torch.tensor([1.0, -1.0] if keep else [-1.0, 1.0]))

    @torch.no_grad()
    def update_ema(self) -> None:
        """Eq. 3, after each optimiser step; the momentum is reached through min(m, (1 + t) / (10 + t))."""
        step = int(self.ema_updates)
        momentum = min(self.options.ema_momentum, (1 + step) / (10 + step))
        self.ema_weight.lerp_(self.projection.weight, 1 - momentum)
        self.ema_bias.lerp_(self.projection.bias, 1 - momentum)
        self.ema_updates += 1

    def logits(self, features: Tensor) -> Tensor:
        """Keep and skip logits `(..., 2)` in fp32; from the moving average when not training."""
        # Gumbel noise and close decisions do not survive half precision.
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.options.detach_input:
                features = features.detach()
            if self.options.normalise_input:
                features = functional.layer_norm(features, features.shape[-1:])
            if self.training:
                return functional.linear(features, self.projection.weight.float(), self.projection.bias.float())
            return functional.linear(features, self.ema_weight.float(), self.ema_bias.float())

    def forward(
        self, features: Tensor, *, noise: float, generator: torch.Generator | None, compiled: bool = False
    ) -> Tensor:
        """The decision `(...)`, exactly 0 or 1, with the gradient of the soft keep probability in training.

        In inference, `compiled` takes it in one pass over the features where there is a compiler.
        """
        if compiled and not self.training and self.options.normalise_input:
            decision = _kernel(features, self.ema_weight, self.ema_bias)
            if decision is not None:
                return decision
        logits = self.logits(features)
        if not self.training:
            return (logits[..., 0] >= logits[..., 1]).float()
        if noise > 0.0:
            logits = logits + noise * gumbel(logits.shape, generator, logits.device)
        soft = torch.softmax(logits / self.options.temperature, dim=-1)[..., 0]
        hard = (logits[..., 0] >= logits[..., 1]).float()
        return hard + soft - soft.detach()


def _keeps(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`Gate.forward` in inference: keep where the gap of the two logits, on normalised features, is not negative."""
    gap = (normalised(features, LAYER_NORM_EPS) * (weight[0] - weight[1])).sum(dim=-1)
    return (gap + bias[0] - bias[1] >= 0).float()


_kernel = Kernel(_keeps)


def gumbel(shape: torch.Size, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Standard Gumbel noise in fp32, from its own random stream."""
    uniform = torch.rand(shape, generator=generator, device=device)
    tiny = torch.finfo(torch.float32).tiny
    exponential = -torch.log(uniform.clamp_min(tiny))
    return -torch.log(exponential.clamp_min(tiny))
