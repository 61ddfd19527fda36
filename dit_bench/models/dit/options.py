"""Every decision about DiT's routing that the paper leaves open, as plain data (no recipe knowledge)."""

from __future__ import annotations

from dataclasses import dataclass, field

LEARNED_ROWS = ("dynamic", "depth")
LEARNED_COLUMNS = ("dynamic", "scale")
SELECTED_ROWS = ("static", "random", "attention")
LINEAR_GATE = "linear"
VARIANTS = ("dynamic", "static", "fully", "random", "attention", "scale", "depth", "diagonal", "cheapest")


@dataclass(frozen=True)
class GateOptions:
    """How a learned gate decides (DiT §3.2, Eq. 1-3)."""

    normalise_input: bool = True
    detach_input: bool = True
    temperature: float = 1.0
    ema_momentum: float = 0.99
    initial_keep_logit: float = 4.0
    initial_skip_logit: float = -2.0
    kind: str = LINEAR_GATE
    """The paper's linear map, or the name of a gate of another package."""


@dataclass(frozen=True)
class RoutingOptions:
    """The routing space: who decides, where patch embeddings stand, and what it aims at.

    Variants (DiT Tables 6-8): `dynamic` learns row and column gates; `scale` only the column gates; `depth` only the
    row gates of the PVTv2 diagonal; `static`, `random` and `attention` have PVTv2's patch embeddings and keep, at
    every live node, the tokens with the highest score of a frozen gate, of noise or of the stage's own attention, at
    the ratio that meets `budget_ratio`; `fully` keeps everything; `diagonal` is PVTv2; `cheapest` keeps nothing and
    opens only what must be open.
    """

    variant: str = "dynamic"
    columns: tuple[int, ...] = (0, 1, 2, 3, 4)
    gate: GateOptions = field(default_factory=GateOptions)
    open_path: str = "diagonal"
    entry_scale_init: float | None = None
    budget_ratio: float = 0.95

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"unknown routing variant '{self.variant}', expected one of {', '.join(VARIANTS)}")
        if self.open_path not in ("fully", "diagonal"):
            raise ValueError(f"unknown open path '{self.open_path}', expected 'fully' or 'diagonal'")
        if self.entry_scale_init is not None and self.entry_scale_init <= 0:
            # Zero would leave early maps all zero, where LayerNorm's gradient is a thousandfold at every layer.
            raise ValueError(f"entry_scale_init must be above 0, got {self.entry_scale_init}")
        if sorted(set(self.columns)) != list(self.columns) or not self.columns:
            raise ValueError(f"columns must be increasing and not empty, got {list(self.columns)}")

    @property
    def learns(self) -> bool:
        """Whether any gate of this variant is learned."""
        return self.variant in LEARNED_ROWS or self.variant in LEARNED_COLUMNS


@dataclass
class RoutingState:
    """Where training stands; changed by the training schedule, irrelevant for inference."""

    open: bool = False
    """All tokens take the open path, without sampling."""
    noise: float = 1.0
    """Scale of the Gumbel noise on the gates' logits."""
