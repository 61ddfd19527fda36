"""Copying tensors into a network strictly: every key of both sides is accounted for, or nothing is copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dit_bench.errors import WeightsError

Tensors = dict[str, Tensor]
MOST_LISTED = 10
MOST_CHARACTERS = 160
# Quantised and packed formats mean nothing without scales, which a network's own keys do not hold.
_KINDS = (
    {torch.float64, torch.float32, torch.float16, torch.bfloat16},
    {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8},
    {torch.complex128, torch.complex64},
    {torch.bool},
)


@dataclass(frozen=True)
class Fit:
    """How a file's tensors sit in a network; it can be copied if all three lists are empty."""

    tensors: Tensors
    """The file's tensors under the network's names."""
    missing: list[str]
    """Keys that the network has and the file has not."""
    unexpected: list[str]
    """Keys of the file that the network has no use for."""
    misfits: list[str]
    """For each key of another shape or type: the key, what it is and what it should be."""

    @property
    def num_problems(self) -> int:
        """Keys that are missing, unexpected or do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.misfits)

    def complaint(self) -> str:
        """All problems counted by kind, the first ten of them listed; one line."""
        counts = (
            (len(self.missing), "missing"),
            (len(self.unexpected), "unexpected"),
            (len(self.misfits), "of another shape or type"),
        )
        problems = [f"missing {key}" for key in self.missing]
        problems += [f"unexpected {key}" for key in self.unexpected]
        problems += self.misfits
        listed = "; ".join(one_line(problem) for problem in problems[:MOST_LISTED])
        rest = f"; and {len(problems) - MOST_LISTED} more" if len(problems) > MOST_LISTED else ""
        return f"{', '.join(f'{count} {kind}' for count, kind in counts if count)}: {listed}{rest}"


def fit(wanted: Mapping[str, Tensor], weights: Tensors, convert: Callable[[Tensors], Tensors] | None = None) -> Fit:
    """Compare `weights`, after `convert`, with the tensors that a network wants.

    A conversion may rename tensors and give a renamed one another layout, such as (1, N, C) for (1, C, H, W). What it
    computes (a resampled position table), drops or overwrites counts as a problem: the numbers in the network are to
    be those of the file, all of them.
    """
    given = dict(weights) if convert is None else convert(dict(weights))
    origin = {_place(tensor): key for key, tensor in weights.items()}
    used = {_place(tensor) for tensor in given.values()}
    computed = {key for key, tensor in given.items() if _place(tensor) not in origin}
    unexpected = {key for key, tensor in weights.items() if _place(tensor) not in used} - computed
    unexpected |= {origin.get(_place(tensor), key) for key, tensor in given.items() if key not in wanted}
    misfits: list[str] = []
    for key in sorted(set(wanted) & set(given)):
        # Under its own name a tensor is judged as the file holds it, whatever the conversion made of it.
        own_name = key in computed or origin[_place(given[key])] == key
        problem = _misfit(weights.get(key) if own_name else given[key], wanted[key], key in computed)
        if problem is not None:
            misfits.append(f"{key} {problem}")
    return Fit(given, sorted(set(wanted) - set(given)), sorted(unexpected), misfits)


def _misfit(stored: Tensor | None, wanted: Tensor, computed: bool) -> str | None:
    if stored is None:
        return f"cannot be had by renaming alone, expected {tuple(wanted.shape)}"
    if stored.shape != wanted.shape:
        return f"is {tuple(stored.shape)}, expected {tuple(wanted.shape)}"
    if not _same_kind(stored, wanted):
        return f"is {stored.dtype}, expected {wanted.dtype}"
    return "would be changed by the conversion of its layout" if computed else None


def copy_fit(model: nn.Module, found: Fit, complaint: str) -> None:
    """Copy fitting tensors into the model, in the model's number format; what they do not name stays as it is.

    Raises WeightsError that starts with `complaint`, and copies nothing, if there is any problem.
    """
    if found.num_problems:
        raise WeightsError(
            f"{complaint} ({found.complaint()})",
            remedy="use weights of the same model, size, variant, input size and number of classes",
        )
    model.load_state_dict({**model.state_dict(), **found.tensors})


def one_line(text: str) -> str:
    """Text from a foreign file, safe to print: no control characters, not endless."""
    shown = "".join(character if character.isprintable() else "?" for character in text[: MOST_CHARACTERS + 1])
    return shown if len(shown) <= MOST_CHARACTERS else f"{shown[:MOST_CHARACTERS]}…"


def _place(tensor: Tensor) -> tuple[int, int, int]:
    """Where a tensor's numbers lie: start, count and extent. Renaming and reshaping keep it, computing does not."""
    extent = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.numel(), extent


def _same_kind(first: Tensor, second: Tensor) -> bool:
    """Whether both hold numbers of one kind: copying then loses precision at most, and always works."""
    return any(first.dtype in kind and second.dtype in kind for kind in _KINDS)
