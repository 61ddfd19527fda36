"""Weights from a file into a network: read without executing anything, renamed where needed, copied strictly."""

from __future__ import annotations

import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.tnt import TNT
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from dit_bench.errors import WeightsError
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.weights import load_pvt_v2
from dit_bench.models.strict import Fit, Tensors, copy_fit, fit, one_line

SAFETENSORS_SUFFIX = ".safetensors"
PYTORCH_SUFFIXES = (".pth", ".pt", ".bin", ".tar")
NESTED_UNDER = ("model", "state_dict", "model_ema", "state_dict_ema")
CLASSIFIERS = ("head", "head.fc", "fc", "classifier")
_KINDS = f"a {SAFETENSORS_SUFFIX} file or a PyTorch checkpoint ({', '.join(PYTORCH_SUFFIXES)})"


def read_weights(path: Path) -> Tensors:
    """Tensors by key of a safetensors file or a PyTorch checkpoint; no code that the file names is ever executed.

    A checkpoint is a dict of tensors, or holds one under the first of "model", "state_dict", "model_ema" and
    "state_dict_ema" that it has: with a moving average beside them, the plain weights are taken. What else lies beside
    it (epoch, optimiser, arguments) is ignored. A prefix "module." that all keys share is taken off.

    Raises WeightsError if the file is missing, damaged, of another kind, or names code.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}", remedy=f"give {_KINDS}")
    suffix = path.suffix.lower()
    if suffix == SAFETENSORS_SUFFIX:
        content = _read_safetensors(path)
    elif suffix in PYTORCH_SUFFIXES:
        content = _read_pytorch(path)
    else:
        raise WeightsError(f"{path}: weights are not read from {suffix or 'nameless'} files", remedy=f"give {_KINDS}")
    tensors = _plain_tensors(*_weights_in(content, path))
    if all(key.startswith("module.") for key in tensors):
        return {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return tensors


def load_into(model: nn.Module, weights: Tensors, source: str) -> None:
    """Copy weights strictly into a network, in its number format.

    They may have the network's own keys, or the official layout of its family where timm knows it (PVTv2, DeiT, Swin,
    TNT, …); PVTv2 weights in either layout go into the diagonal of a DiT. Nothing is resampled to another input size.
    Buffers that the network itself would not save are passed over.

    Raises WeightsError, naming `source`, if a key is missing, left over or of another shape; then nothing is copied.
    """
    if isinstance(model, DiT) and not any(key.startswith("grid.") for key in weights):
        load_pvt_v2(model, weights, source)
        return
    copy_fit(model, _best_fit(model, weights), f"{source} holds weights of another architecture")


def head_classes(weights: Tensors) -> int | None:
    """Number of classes of the classifier in a dict of weights, in whatever layout; None if there is none."""
    for name in CLASSIFIERS:
        for key in (f"{name}.weight", f"{name}.bias"):
            if key in weights and weights[key].dim() >= (1 if key.endswith("bias") else 2):
                return len(weights[key])
    return None


def _read_safetensors(path: Path) -> Tensors:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({_reason(error)})") from error


def _read_pytorch(path: Path) -> Any:
    """What torch's restricted reader makes of a file: tensors, containers, plain values, argparse's Namespace."""
    try:
        # DeiT's and PVT's training scripts save their parsed arguments beside the weights: data, not code.
        with safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on a damaged or hostile file the restricted reader fails in any way, but it fails
        named = ", ".join(one_line(name) for name in _named_code(path, error))
        if named:
            raise WeightsError(
                f"{path} names code: {named}; it is not opened",
                remedy="if you trust it, convert it to safetensors yourself",
            ) from error
        raise WeightsError(
            f"{path} is not a readable PyTorch checkpoint ({_reason(error)})",
            remedy="give a dict of tensors as torch.save writes it by default, or a .safetensors file",
        ) from error


def _named_code(path: Path, error: Exception) -> list[str]:
    """Functions and classes that a refused file names and that are no part of weights; the file is not executed."""
    try:
        with safe_globals([Namespace]):
            return sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception:  # torch lists those of zip archives only; of an old-style pickle the reader names the first
        return re.findall(r"GLOBAL (\S+)", str(error))[:1]


def _reason(error: Exception) -> str:
    """The first sentence of what a reader says, without torch's advice to open the file unprotected."""
    said = str(error).rsplit("WeightsUnpickler error: ", maxsplit=1)[-1].strip() or type(error).__name__
    return one_line(re.split(r"\.\s|\n", said)[0])


def _weights_in(content: Any, path: Path) -> tuple[dict[Any, Any], str]:
    """The dict of weights inside a checkpoint, and where it was found."""
    if isinstance(content, dict) and not (content and all(isinstance(value, Tensor) for value in content.values())):
        for key in NESTED_UNDER:
            if isinstance(content.get(key), dict):
                return content[key], f"{path}, under '{key}',"
    if isinstance(content, dict):
        return content, str(path)
    raise WeightsError(
        f"{path} holds a {type(content).__name__}, not a dict of tensors", remedy="save the model's state_dict()"
    )


def _plain_tensors(content: dict[Any, Any], place: str) -> Tensors:
    foreign = [key for key, value in content.items() if not (isinstance(key, str) and _is_plain(value))]
    if foreign or not content:
        first = f"{one_line(repr(foreign[0]))} ({_kind(foreign[0], content[foreign[0]])})" if foreign else "nothing"
        rest = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise WeightsError(
            f"{place} holds {first}{rest} where plain tensors should be",
            remedy=f"save a dict of dense CPU tensors, alone or under one of {', '.join(NESTED_UNDER)}",
        )
    # Through the class: a tensor from a foreign file can carry attributes of its own under the names of methods.
    return {key: Tensor.detach(value) for key, value in content.items()}


def _is_plain(value: Any) -> bool:
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_nested)
    )


def _kind(key: Any, value: Any) -> str:
    if not isinstance(key, str):
        return f"a key that is {type(key).__name__}, not text"
    if isinstance(value, Tensor) and not _is_plain(value):
        special = "quantised " if value.is_quantized else "nested " if value.is_nested else ""
        return f"{special}{value.layout} tensor on {value.device.type}"
    return type(value).__name__


def _best_fit(model: nn.Module, weights: Tensors) -> Fit:
    """The weights as they are or in timm's layout, whichever leaves fewer problems."""
    passed_over = _unsaved_buffers(model)
    if isinstance(model, TNT):
        passed_over.add("outer_tokens")  # zeros in official files, never trained and never read
    kept = {key: tensor for key, tensor in weights.items() if key not in passed_over}
    wanted = model.state_dict()
    if not any(key.endswith(".num_batches_tracked") for key in kept):
        # Files from before PyTorch 0.4.1 lack this counter of training steps, which inference does not read.
        wanted = {key: tensor for key, tensor in wanted.items() if not key.endswith(".num_batches_tracked")}
    best = fit(wanted, kept)
    convert = _timm_layout(model)
    if best.num_problems and convert is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about resampling, which ends in a refusal
                other = fit(wanted, kept, lambda tensors: convert(tensors, model))
        except Exception:  # timm's filters expect files of their own family and fail in any way on others
            return best
        return min(best, other, key=lambda found: found.num_problems)
    return best


def _timm_layout(model: nn.Module) -> Callable[[Tensors, nn.Module], Tensors] | None:
    """The conversion of official checkpoints that timm has for the model's class or a base of it."""
    for family in type(model).__mro__:
        found = getattr(sys.modules.get(family.__module__), "checkpoint_filter_fn", None)
        if found is not None:
            return found
    return None


def _unsaved_buffers(model: nn.Module) -> set[str]:
    """Keys of all buffers declared as non-persistent, those that are None now included."""
    return {
        f"{name}.{buffer}".removeprefix(".")
        for name, module in model.named_modules()
        for buffer in module._non_persistent_buffers_set
    }
