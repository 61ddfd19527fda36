"""Memory, devices and reading processes that fail: one line and a remedy, nothing made smaller, nothing lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from dit_bench.errors import MemoryExhaustedError, exhausted_memory
from tests.faults.attempts import ForkServer
from tests.faults.small_tables import ABLATE, SmallTable, write
from tests.faults.whole import check_results


@pytest.mark.parametrize("kind", ["torch", "python"])
def test_memory_that_runs_out_in_training(server: ForkServer, one_row: SmallTable, folder: Path, kind: str) -> None:
    write(folder, one_row.recipe)
    ended = server.run(ABLATE, folder, faults={"out_of_memory": kind, "out_of_memory_at": 2})
    ended.refused(5, "out of memory", "what is finished is kept", "smaller optimiser.batch_size", "nothing is made")
    assert ended.out == ""
    check_results(folder / "runs")
    again = server.run(ABLATE, folder)
    assert "resuming in epoch 1 of 1, step 2" in again.err
    one_row.check(again)


def test_less_address_space_than_the_work_needs(server: ForkServer, one_row: SmallTable, folder: Path) -> None:
    """The kernel's own limit, met by one large batch; the batch stays as it was asked for.

    The batch of 154 MB does not fit beside its pictures, long before little things do not: where those fail, libraries
    of compiled code may crash before anybody can say why.
    """
    write(folder, one_row.recipe)
    large = [*ABLATE, "data.image_size_px=448", "data.train_images=64", "optimiser.batch_size=64"]
    ended = server.run(large, folder, spare_memory=200 << 20)
    ended.refused(5, "out of memory", "smaller optimiser.batch_size")
    check_results(folder / "runs")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(server: ForkServer, one_row: SmallTable, folder: Path) -> None:
    write(folder, one_row.recipe)
    ended = server.run(["cuda" if part == "cpu" else part for part in ABLATE], folder)
    ended.refused(2, "--device cuda", "0 CUDA device(s)", "--device cpu")
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError(f"DataLoader worker (pid 7) is killed by signal: {signal.strsignal(signal.SIGKILL)}."),
        RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"),
    ],
    ids=lambda error: str(error)[:20],
)
def test_how_exhaustion_is_said(error: BaseException) -> None:
    said = exhausted_memory(error)
    assert isinstance(said, MemoryExhaustedError)
    assert said.exit_code == 5
    assert said.remedy
    assert "what is finished is kept" in said.message


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), OSError(5, "x"), ValueError("memory")])
def test_other_errors_are_no_exhaustion(error: BaseException) -> None:
    assert exhausted_memory(error) is None
