"""Faults inside a process: killed, or refused by the operating system, at its n-th operation on files; and others.

Every operation that changes what lies on the disk is counted: files opened for writing, writes, syncs, renames,
removals and new folders. What a process does to the standard streams is not.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
OPERATIONS = ("mkdir", "replace", "rename", "fsync", "unlink", "remove", "rmdir")


def install(faults: dict[str, Any], folder: Path) -> None:
    """Prepare this process for its faults.

    `constants`: values for names in modules, as `dit_bench.engine.train.CHECKPOINT_SECONDS`. `kill_at`: the number of
    the operation before which the process kills itself. `fail_at`, `fail_from`: that operation, or every one from it
    on, fails with the error called `errno`. `count_to`: a file that gets the names of all operations. `nan_at`,
    `bad_gradient_at`: the training step, from 1, whose loss or gradient is not a number. `out_of_memory`: "torch" or
    "python", raised by the `out_of_memory_at`-th training step. `interrupt_at`, `defect_at`: the step in which Ctrl-C
    is pressed, or a defect of ours shows. `late`: seconds to wait before a run is begun.
    """
    _time_once()
    for place, value in faults.get("constants", {}).items():
        module, _, name = place.rpartition(".")
        assert hasattr(importlib.import_module(module), name)
        setattr(importlib.import_module(module), name, value)
    if {"kill_at", "fail_at", "fail_from", "count_to"} & set(faults):
        _watch(_Watch(faults), folder)
    if {"nan_at", "bad_gradient_at", "out_of_memory", "interrupt_at", "defect_at"} & set(faults):
        _spoil_steps(faults)
    if faults.get("late"):
        _begin_late(faults["late"])


def _begin_late(seconds: float) -> None:
    from dit_bench.runs.store import RunStore

    begin = RunStore.begin

    def late(*arguments: Any, **options: Any) -> Any:
        time.sleep(seconds)
        return begin(*arguments, **options)

    RunStore.begin = late  # type: ignore[method-assign]


def _time_once() -> None:
    """Latency is in no table that is compared: one round will do."""
    from dit_bench.engine import latency

    latency.measure_latency.__defaults__ = (1,)


class _Watch:
    """Counts operations, and lets its fault happen at the right one."""

    def __init__(self, faults: dict[str, Any]):
        self.faults = faults
        self.count = 0

    def __call__(self, name: str) -> None:
        self.count += 1
        faults = self.faults
        if "count_to" in faults:
            log = os_open(faults["count_to"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(log, f"{name}\n".encode())
            os.close(log)
        if self.count == faults.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == faults.get("fail_at") or self.count >= faults.get("fail_from", self.count + 1):
            number = getattr(errno, faults["errno"])
            raise OSError(number, os.strerror(number))


os_open, io_open = os.open, io.open


def _watch(watch: _Watch, folder: Path) -> None:
    class WatchedFile(io.FileIO):
        def write(self, data: Any) -> int:  # type: ignore[override]
            watch("write")
            return super().write(data)

    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+") or isinstance(file, int):
            return io_open(file, mode, *arguments, **options)
        watch("open")
        names = ("buffering", "encoding", "errors", "newline")
        named = dict(zip(names, arguments, strict=False)) | options
        raw = WatchedFile(file, mode.replace("b", "").replace("t", ""))
        if named.pop("buffering", -1) == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        wrapped = io.TextIOWrapper(buffered, **{name: value for name, value in named.items() if name in names})
        wrapped.mode = mode  # type: ignore[misc]
        return wrapped

    def descriptor(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & CHANGING and os.fspath(path) != os.devnull:
            watch("open")
        return os_open(path, flags, *arguments, **options)

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            watch(name)
            return call(*arguments, **options)

        return operation

    io.open = builtins.open = opened
    os.open = descriptor
    for name in OPERATIONS:
        setattr(os, name, watched(name, getattr(os, name)))


def _spoil_steps(faults: dict[str, Any]) -> None:
    import torch

    from dit_bench.engine.train import Trainer

    step, number = Trainer._step, 0

    def spoilt(self: Trainer, batch: Any) -> float:
        nonlocal number
        number += 1
        if number == faults.get("nan_at"):
            loss = self.task.loss
            self.task.loss = lambda *where: _not_a_number(loss(*where))  # type: ignore[method-assign]
        if number == faults.get("bad_gradient_at"):
            next(self.model.parameters()).register_hook(lambda gradient: gradient * float("nan"))
        if number == faults.get("out_of_memory_at"):
            raise MemoryError if faults["out_of_memory"] == "python" else torch.OutOfMemoryError("CUDA out of memory.")
        if number == faults.get("interrupt_at"):
            os.kill(os.getpid(), signal.SIGINT)
        if number == faults.get("defect_at"):
            raise ZeroDivisionError("division by zero")
        return step(self, batch)

    Trainer._step = spoilt  # type: ignore[method-assign]


def _not_a_number(found: Any) -> Any:
    import dataclasses

    return dataclasses.replace(found, loss=found.loss * float("nan"))
