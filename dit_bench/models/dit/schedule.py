"""How routing changes over training: open gates first, then sampled decisions, then hard ones; a ramped budget."""

from __future__ import annotations

from dataclasses import dataclass

from dit_bench.models.dit.options import RoutingState


@dataclass(frozen=True)
class RoutingSchedule:
    """All points are fractions of training in [0, 1].

    Until `open_fraction` all tokens take the open path and no gate is asked; then the noise falls linearly from
    `noise_start` to `noise_end` at `noise_end_fraction`; the budget's weight rises linearly over its ramp.
    """

    open_fraction: float
    noise_start: float
    noise_end: float
    noise_end_fraction: float
    budget_weight: float
    budget_ramp_start_fraction: float
    budget_ramp_end_fraction: float

    def state(self, progress: float) -> RoutingState:
        """What the gates do at `progress` of training."""
        position = _ramp(progress, self.open_fraction, self.noise_end_fraction)
        noise = self.noise_start + (self.noise_end - self.noise_start) * position
        return RoutingState(open=progress < self.open_fraction, noise=noise)

    def weight(self, progress: float) -> float:
        """Lambda of Eq. 7 at `progress` of training; zero while the gates are held open."""
        if progress < self.open_fraction:
            return 0.0
        return self.budget_weight * _ramp(progress, self.budget_ramp_start_fraction, self.budget_ramp_end_fraction)


def _ramp(progress: float, start: float, end: float) -> float:
    if end <= start:
        return 1.0 if progress >= end else 0.0
    return min(1.0, max(0.0, (progress - start) / (end - start)))
