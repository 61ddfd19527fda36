"""PVTv2 weights in DiT: the diagonal of the grid is PVTv2, key by key (DESIGN of the grid, DiT §3.1)."""

from __future__ import annotations

import re

from timm.models.pvt_v2 import checkpoint_filter_fn as timm_layout
from torch import Tensor

from dit_bench.models.dit.model import DiT
from dit_bench.models.strict import copy_fit, fit

_RULES = (
    (re.compile(r"^stages\.(\d)\.blocks\."), lambda m: f"grid.stages.{m[1]}_{m[1]}."),
    (re.compile(r"^stages\.(\d)\.downsample\."), lambda m: f"grid.embeds.{int(m[1]) - 1}_{m[1]}.embed."),
    (re.compile(r"^stages\.(\d)\.norm\."), lambda m: f"grid.norms.{m[1]}."),
)


def diagonal_key(pvt_key: str) -> str:
    """Name in DiT of a parameter of timm's PVTv2: `stages.2.blocks.0.…` → `grid.stages.2_2.0.…`."""
    for pattern, replacement in _RULES:
        if pattern.match(pvt_key):
            return pattern.sub(replacement, pvt_key)
    return pvt_key


def load_pvt_v2(model: DiT, weights: dict[str, Tensor], source: str = "the given dict") -> None:
    """Copy PVTv2 weights, in timm's or the official layout, into the diagonal of `model`; the rest stays as it is.

    Raises WeightsError naming `source`, and copies nothing, if a key is missing, left over or of another shape.
    """
    wanted = {key: tensor for key, tensor in model.state_dict().items() if _on_diagonal(key)}
    copy_fit(
        model,
        fit(wanted, weights, _diagonal_layout),
        f"{source} holds weights of another architecture than the diagonal of this DiT",
    )


def _diagonal_layout(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {diagonal_key(key): tensor for key, tensor in timm_layout(weights, None).items()}


def _on_diagonal(key: str) -> bool:
    if key.startswith(("grid.rows.", "grid.columns.")):
        return False
    node = re.match(r"grid\.(stages|embeds)\.(\d)_(\d)\.", key)
    return node is None or int(node[2]) == int(node[3]) - (node[1] == "embeds")
