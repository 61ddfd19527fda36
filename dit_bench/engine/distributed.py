"""Several processes that train or evaluate one network together, on one machine or many, as torchrun starts them.

Without torchrun there is one process, and nothing here does anything. Everything that all processes take part in has
to be called by all of them, in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dit_bench.errors import InterruptedRunError, UsageError

T = TypeVar("T")
TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another, which may be reading a data set or judging what was found."""
BUCKET_BYTES = 2**25
"""Gradients are summed in pieces of about this size, many small tensors in one message."""


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is, as torchrun's environment has it."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """On this machine."""
    local_size: int = 1

    @classmethod
    def of_environment(cls) -> Place:
        """One of one where the environment says nothing."""
        found = {
            name: os.environ.get(key)
            for name, key in (
                ("rank", "RANK"),
                ("size", "WORLD_SIZE"),
                ("local_rank", "LOCAL_RANK"),
                ("local_size", "LOCAL_WORLD_SIZE"),
            )
        }
        if found["rank"] is None or found["size"] is None:
            return cls()
        return cls(**{name: int(value) for name, value in found.items() if value is not None})


def device_of(place: Place, device: torch.device) -> torch.device:
    """The device that a process computes on: of GPUs its own, one for each process of a machine.

    Raises UsageError where that is not possible.
    """
    if place.size == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise UsageError(f"--device {device}: one device cannot be shared by {place.size} processes")
    if device.index is not None:
        raise UsageError(
            f"--device {device}: each of {place.size} processes needs a GPU of its own", remedy="use --device cuda"
        )
    if place.local_size > torch.cuda.device_count():
        raise UsageError(
            f"{place.local_size} processes on this machine, which has {torch.cuda.device_count()} CUDA device(s)",
            remedy="start one process per GPU with --nproc-per-node, or use --device cpu",
        )
    return torch.device("cuda", place.local_rank)


def join(device: torch.device) -> None:
    """Meet the other processes; at once if there are none, or if that has been done."""
    place = Place.of_environment()
    if place.size == 1 or dist.is_initialized():
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    with _together():
        dist.init_process_group(backend, timeout=TIMEOUT)


def leave() -> None:
    """Take leave of the other processes, who do the same."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def is_first_to_fail() -> bool:
    """Whether this process is the first of all to ask, so that one of them says what went wrong."""
    place, environment = Place.of_environment(), os.environ
    try:
        # torchrun's own notice board, which stays when processes go.
        board = dist.TCPStore(
            environment["MASTER_ADDR"],
            int(environment["MASTER_PORT"]),
            is_master=False,
            timeout=timedelta(seconds=10),
            wait_for_workers=False,
        )
        return board.add(f"dit_bench/failures/{environment.get('TORCHELASTIC_RESTART_COUNT', 0)}", 1) == 1
    except (KeyError, RuntimeError):
        return place.rank == 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0 on."""
    return dist.get_rank() if size() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that writes and speaks."""
    return rank() == 0


@contextmanager
def _together() -> Iterator[None]:
    """Around what all processes take part in: says so when one of them is gone."""
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        raise InterruptedRunError(
            "another process has ended or does not answer",
            remedy="what was saved is kept; the same command goes on from there",
        ) from error


def add_up(value: Tensor) -> Tensor:
    """Sum over the processes; on the tensor's device."""
    return _reduced(value, dist.ReduceOp.SUM)


def largest(values: Sequence[int]) -> list[int]:
    """The largest of each of some numbers over the processes."""
    return _reduced(torch.tensor(values), dist.ReduceOp.MAX).tolist()


def any_of(flag: bool) -> bool:
    """Whether it is true in any process."""
    return flag if size() == 1 else bool(largest([flag])[0])


def _reduced(value: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
    if size() == 1:
        return value
    found = value.detach().clone()
    with _together():
        dist.all_reduce(found, how)
    return found


def from_main(value: T) -> T:
    """What the main process gives; the others wait for it."""
    if size() == 1:
        return value
    values: list[Any] = [value]
    with _together():
        dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def interleaved(own: list[T]) -> list[T]:
    """All of a list whose items k, k + n, k + 2n … are those of process k of n, in order, as `own_batches` has it."""
    if size() == 1:
        return own
    gathered: list[Any] = [None] * size()
    with _together():
        dist.all_gather_object(gathered, own)
    total = sum(len(part) for part in gathered)
    return [gathered[k % size()][k // size()] for k in range(total)]


def own_batches() -> slice:
    """Which batches of an evaluation are this process's: they stay as they are, so that results stay, too."""
    return slice(rank(), None, size())


def progress(done: int, total: int) -> int:
    """About how many of all images are done when this process has done so many."""
    return min(done * size(), total)


@contextmanager
def first_on_each_machine() -> Iterator[None]:
    """Around work that leaves files in a cache: one process of each machine does it first, then the others."""
    first = size() == 1 or Place.of_environment().local_rank == 0
    if not first:
        any_of(False)  # everybody's message is waited for
    yield
    if first:
        any_of(False)


def same_weights(model: nn.Module) -> None:
    """Give every process the parameters and buffers of the main one."""
    if size() == 1:
        return
    with _together():
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor.detach(), src=0)


def add_up_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sum each gradient over the processes, in place; a parameter that none of them used keeps none.

    Done by hand once the backward pass is over, and not by DistributedDataParallel during it: losses call a network in
    several ways, nodes may be used by the images of one process only, and batch norms talk in the backward pass, so
    that messages could cross.
    """
    if size() == 1:
        return
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    used = largest([parameter.grad is not None for parameter in learning])
    gradients: list[Tensor] = []
    for parameter, by_any in zip(learning, used, strict=True):
        if by_any:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    with _together():
        sent = []
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            sent.append((flat, bucket, dist.all_reduce(flat, async_op=True)))
        for flat, bucket, work in sent:
            assert work is not None
            work.wait()
            for gradient, part in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(part.view(gradient.shape))


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive gradients of one type, about `BUCKET_BYTES` in each list."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        full = sum(one.numel() * one.element_size() for one in bucket) >= BUCKET_BYTES
        if bucket and (full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
