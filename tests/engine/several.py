"""Several processes on this machine that work together as those of torchrun do."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

# Processes are forked off one that has imported everything, and so has never run a backward pass.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.engine.several_work"])


@dataclass(frozen=True)
class Outcome:
    """What became of a process."""

    result: Any = None
    error: str | None = None
    """Type and message of what it raised."""


def together(size: int, work: Callable[..., Any], *arguments: Any, timeout: float = 300.0) -> list[Any]:
    """Results of `work` in each of `size` processes, which meet as soon as they ask for a device."""
    outcomes = outcomes_of(size, work, *arguments, timeout=timeout)
    assert [outcome.error for outcome in outcomes] == [None] * size
    return [outcome.result for outcome in outcomes]


def outcomes_of(size: int, work: Callable[..., Any], *arguments: Any, timeout: float = 300.0) -> list[Outcome]:
    """The same, whatever became of them."""
    port, processes = _free_port(), []
    for rank in range(size):
        ours, theirs = _context.Pipe(duplex=False)
        process = _context.Process(target=_main, args=(theirs, rank, size, port, work, arguments), daemon=True)
        process.start()
        theirs.close()
        processes.append((process, ours))
    outcomes = []
    for process, ours in processes:
        try:
            outcomes.append(pickle.loads(ours.recv_bytes()) if ours.poll(timeout) else Outcome(error="does not answer"))
        except EOFError:
            outcomes.append(Outcome(error="killed"))
        process.join(5)
        process.kill()
    return outcomes


def _main(answer: Connection, rank: int, size: int, port: int, work: Callable[..., Any], arguments: Any) -> None:
    from dit_bench.engine.distributed import leave

    ranks = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size}
    if size > 1:
        os.environ.update({name: str(value) for name, value in ranks.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    try:
        _send(answer, Outcome(work(*arguments)))
        leave()
    except BaseException as error:
        if os.environ.get("SHOW"):
            traceback.print_exc()
        _send(answer, Outcome(error=f"{type(error).__name__}: {error}"))


def _send(answer: Connection, outcome: Outcome) -> None:
    # Whole, where the pipe's own way would leave tensors with a process that ends.
    answer.send_bytes(pickle.dumps(outcome))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
