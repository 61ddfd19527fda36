"""PVTv2 weights in DiT: the diagonal of the grid is PVTv2, key by key (DESIGN of the grid, DiT §3.1)."""

from __future__ import annotations

import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dit_bench.errors import WeightsError
from dit_bench.models.dit.model import DiT

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


def load_pvt_v2(model: DiT, weights: dict[str, Tensor]) -> None:
    """Copy timm-layout PVTv2 weights into the diagonal of `model`; everything off the diagonal stays as it is.

    Raises WeightsError, and copies nothing, if a key is missing, left over or of another shape.
    """
    wanted = {key: tensor for key, tensor in model.state_dict().items() if _on_diagonal(key)}
    given = {diagonal_key(key): tensor for key, tensor in weights.items()}
    _refuse_mismatch(wanted, given, "these PVTv2 weights do not fit the diagonal of this DiT")
    model.load_state_dict({**model.state_dict(), **given})


def load_into(model: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Load weights strictly: those of the same network, or PVTv2 weights into the diagonal of a DiT.

    Raises WeightsError, naming `source`, if a key is missing, left over or of another shape; then nothing is copied.
    """
    if isinstance(model, DiT) and not any(key.startswith("grid.") for key in weights):
        load_pvt_v2(model, weights)
        return
    _refuse_mismatch(model.state_dict(), weights, f"{source} holds weights of another architecture")
    model.load_state_dict(weights)


def _on_diagonal(key: str) -> bool:
    if key.startswith(("grid.rows.", "grid.columns.")):
        return False
    node = re.match(r"grid\.(stages|embeds)\.(\d)_(\d)\.", key)
    return node is None or int(node[2]) == int(node[3]) - (node[1] == "embeds")


def _refuse_mismatch(wanted: dict[str, Tensor], given: dict[str, Tensor], complaint: str) -> None:
    problems = [f"missing {key}" for key in sorted(set(wanted) - set(given))]
    problems += [f"unexpected {key}" for key in sorted(set(given) - set(wanted))]
    problems += [
        f"{key} is {tuple(given[key].shape)}, expected {tuple(wanted[key].shape)}"
        for key in sorted(set(wanted) & set(given))
        if given[key].shape != wanted[key].shape
    ]
    if problems:
        listed = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise WeightsError(
            f"{complaint}: {listed}", remedy="use weights of the same model size, variant and number of classes"
        )


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; raises WeightsError if it is missing, damaged or of another kind."""
    if not path.is_file():
        raise WeightsError(f"no weights at {path}", remedy="give the path of a .safetensors file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error})") from error
