"""Gates whose scores come from a network of another package; everything else about deciding stays DiT's."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dit_bench.cost.counter import counted_macs, foreign_operators
from dit_bench.models.dit.gates import Gate, RoutingGate
from dit_bench.models.dit.options import LINEAR_GATE, GateOptions
from dit_bench.plugins import Plugin, find_plugin

PROBED_VECTORS = 4


class PluginGate(RoutingGate):
    """A gate around a network of another package, which gives keep and skip logits `(B, L, 2)` of `(B, L, C)`.

    B is images and L the tokens of each; a column gate's pooled map is one token. The logits of an image must depend
    on no other image. Sampling, straight-through gradient, moving average and the initial logit gap, which a learned
    bias of ours adds, are those of every gate.

    What a decision costs is what torch dispatches for it, or what the network's method `macs(num_vectors)` states,
    which may not be less.
    """

    ema_bias: Tensor

    def __init__(self, plugin: Plugin, width: int, options: GateOptions, *, initially_open: bool):
        super().__init__(options, initially_open=initially_open)
        self.plugin, self.width = plugin, width
        network = plugin.call(width)
        if not isinstance(network, nn.Module):
            raise plugin.refusal(f"it returned {type(network).__name__}, not a torch.nn.Module")
        self.network = network
        self.bias = nn.Parameter(torch.empty(2))
        self.register_buffer("ema_bias", torch.empty(2))
        for name, parameter in network.named_parameters():
            self.register_buffer(_average_name(name), torch.empty_like(parameter, requires_grad=False))
        # The network around this one initialises every linear layer in PVTv2's way.
        self._initial = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        self._fixed: bool | None = None
        self._macs: dict[int, int] = {}
        self.reset_parameters()
        # A cost that is unknown is refused now and not when the first image is counted.
        self.macs(PROBED_VECTORS)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The network as its package initialised it, and the bias that gives the initial logit gap."""
        for name, parameter in self.network.named_parameters():
            parameter.copy_(self._initial[name])
        self.bias.copy_(torch.tensor([self.initial_gap / 2, -self.initial_gap / 2]))
        self.copy_to_ema()

    @torch.no_grad()
    def copy_to_ema(self) -> None:
        """See `RoutingGate`."""
        self.average(0.0)
        self.ema_updates.zero_()

    @torch.no_grad()
    def average(self, momentum: float) -> None:
        """See `RoutingGate`."""
        for name, parameter in self.network.named_parameters():
            # Not a sum of shares: a momentum of 0 copies, whatever was there before.
            average = self.get_buffer(_average_name(name))
            average.copy_(parameter) if momentum == 0.0 else average.lerp_(parameter, 1 - momentum)
        self.ema_bias.copy_(self.bias) if momentum == 0.0 else self.ema_bias.lerp_(self.bias, 1 - momentum)

    def fix(self, *, keep: bool) -> None:
        """See `RoutingGate`."""
        self._fixed = keep

    @torch.no_grad()
    def exercise(self) -> None:
        """See `RoutingGate`."""
        for parameter in self.network.parameters():
            nn.init.normal_(parameter)
        self.bias.zero_()
        self.copy_to_ema()

    def scores(self, features: Tensor) -> Tensor:
        """See `RoutingGate`."""
        tokens = features.unsqueeze(1) if features.dim() == 2 else features
        if self.training:
            logits, bias = self.network(tokens), self.bias
        else:
            logits, bias = functional_call(self.network, self._averages(), (tokens,)), self.ema_bias
        self._check(logits, tokens)
        logits = logits.float() + bias
        if self._fixed is not None and not self.training:
            logits = torch.tensor([self._fixed, not self._fixed], device=logits.device).expand_as(logits).float()
        return logits.squeeze(1) if features.dim() == 2 else logits

    def macs(self, num_vectors: int) -> int:
        """See `RoutingGate`. Raises PluginError for a cost that is neither stated nor seen, or stated too low."""
        if num_vectors not in self._macs:
            self._macs[num_vectors] = self._counted(num_vectors)
        return self._macs[num_vectors]

    def _averages(self) -> dict[str, Tensor]:
        return {name: self.get_buffer(_average_name(name)) for name, _ in self.network.named_parameters()}

    def _check(self, logits: object, tokens: Tensor) -> None:
        expected = (*tokens.shape[:-1], 2)
        if not isinstance(logits, Tensor) or logits.shape != expected:
            made = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise self.plugin.refusal(f"of features {tuple(tokens.shape)} it made {made}, not logits {expected}")

    def _counted(self, num_vectors: int) -> int:
        shadow = copy.deepcopy(self.network).to("meta").eval()
        tokens = torch.zeros(1, num_vectors, self.width, device="meta")
        unseen, dispatched = "", 0
        try:
            operators = foreign_operators(lambda: self._check(shadow(tokens), tokens))
            dispatched = counted_macs(lambda: shadow(tokens))
            if operators:
                unseen = f"torch's counter does not know {', '.join(sorted(operators))}"
        except (RuntimeError, NotImplementedError) as error:
            unseen = str(error).strip().partition("\n")[0]
        state = getattr(self.network, "macs", None)
        if state is None:
            if unseen:
                raise self.plugin.refusal(f"what it costs is unknown: it has no method macs(num_vectors), and {unseen}")
            return dispatched
        stated = self.plugin.guarded(state, num_vectors)
        if not isinstance(stated, int) or stated < dispatched:
            raise self.plugin.refusal(
                f"it states {stated} MACs for {num_vectors} vectors, but torch dispatched {dispatched}"
            )
        return stated


def _average_name(name: str) -> str:
    """The buffer of a parameter's moving average; names of buffers have no dots."""
    return f"ema_network__{name.replace('.', '__')}"


def build_gate(width: int, options: GateOptions, *, initially_open: bool) -> RoutingGate:
    """The gate that the options name, for features of a width.

    Raises ValueError for a name that nobody has, PluginError for a gate of another package that cannot be used.
    """
    of_ours = options.kind == LINEAR_GATE
    plugin = find_plugin("gates", options.kind, also_of="dit-bench" if of_ours else None)
    if plugin is not None:
        return PluginGate(plugin, width, options, initially_open=initially_open)
    if not of_ours:
        raise ValueError(f"no installed package has a gate '{options.kind}'")
    return Gate(width, options, initially_open=initially_open)
