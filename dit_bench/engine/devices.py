"""Where a run executes: device, precision and threads."""

from __future__ import annotations

import torch

from dit_bench.engine.allocator import keep_freed_memory
from dit_bench.engine.distributed import Place, device_of, join
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import NumericsSettings, RuntimeSettings

_AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, then MPS, then the CPU. Raises UsageError if it is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(
            f"--device {name}: no such kind of device", remedy="use auto, cpu, cuda, cuda:N or mps"
        ) from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count()
        raise UsageError(
            f"--device {name}: this machine has {count} CUDA device(s)",
            remedy=f"use cuda:0 to cuda:{count - 1}" if count else "use --device cpu, or auto",
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"--device {name}: this machine has no MPS device", remedy="use --device cpu, or auto")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: not supported", remedy="use auto, cpu, cuda, cuda:N or mps")
    return device


def prepare(runtime: RuntimeSettings) -> torch.device:
    """Set the number of threads, deterministic algorithms and how memory is kept; return the device.

    Where torchrun started several processes, this is where they meet, and each gets a device of its own.
    """
    keep_freed_memory()
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    device = device_of(Place.of_environment(), resolve_device(runtime.device))
    join(device)
    return device


def autocast(device: torch.device, numerics: NumericsSettings) -> torch.autocast:
    """The autocast context of the settings; raises UsageError for fp16 where no gradient scaling exists."""
    if numerics.amp == "fp16" and device.type != "cuda":
        raise UsageError(f"numerics.amp=fp16 needs a CUDA device, not {device.type}", remedy="use bf16 or off")
    return torch.autocast(device.type, _AMP_DTYPES.get(numerics.amp), enabled=numerics.amp != "off")


def synchronize(device: torch.device) -> None:
    """Wait until everything queued on the device has been done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
