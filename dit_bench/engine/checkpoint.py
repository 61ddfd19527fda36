"""The state of a training that can be picked up: everything in one safetensors file, nothing pickled.

Tensors hold weights, optimiser moments and random streams; counters are JSON in the file's metadata.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dit_bench.engine.build import routed_part
from dit_bench.errors import WeightsError
from dit_bench.runs.atomic import write_bytes


@dataclass
class Position:
    """Where training stands: `step` batches of `epoch` are done."""

    epoch: int = 0
    step: int = 0
    updates: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    epochs_logged: int = 0


def save_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    position: Position,
    sums: dict[str, float],
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Write the training state, aside and then renamed. Raises DataError if the disk refuses."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for k, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{k}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["random.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    routed = routed_part(model)
    if routed is not None and routed.generator is not None:
        tensors["random.gates"] = routed.generator.get_state()
    metadata = {"position": asdict(position), "sums": sums, "scaler": scaler.state_dict() if scaler else {}}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, metadata={"state": json.dumps(metadata)}))


@dataclass(frozen=True)
class SavedState:
    """What a state file holds."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Tensor]


def read_state(path: Path) -> SavedState:
    """Read a state file. Raises WeightsError if it is damaged."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise _unusable(path, error) from error
    return SavedState(path, metadata, tensors)


def restore(
    state: SavedState,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None = None,
) -> tuple[Position, dict[str, float]]:
    """Bring model, optimiser and random streams to the saved state; returns position and the epoch's running sums.

    Raises WeightsError if the state belongs to another network.
    """
    metadata, tensors = state.metadata, state.tensors
    try:
        weights = _with_prefix(tensors, "model.")
        model.load_state_dict(weights)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _with_prefix(tensors, "optimiser.").items():
            number, key = name.split(".", 1)
            moments.setdefault(int(number), {})[key] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    except (KeyError, RuntimeError, ValueError) as error:
        raise _unusable(state.path, error) from error
    torch.set_rng_state(tensors["random.torch"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    routed = routed_part(model)
    if routed is not None and routed.generator is not None:
        routed.generator.set_state(tensors["random.gates"])
    if scaler is not None and metadata["scaler"]:
        scaler.load_state_dict(metadata["scaler"])
    return Position(**metadata["position"]), metadata["sums"]


def _unusable(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"{path}: this training state cannot be picked up ({error})", remedy="start afresh with --force"
    )


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
