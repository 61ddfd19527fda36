"""A disk that is full or read-only ends a command with one line and a remedy; the next one completes the work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.attempts import ForkServer
from tests.faults.small_tables import ABLATE, SmallTable, moments, write
from tests.faults.whole import check_results


def test_a_disk_that_fills_up_at_any_moment(server: ForkServer, one_row: SmallTable, folder: Path) -> None:
    """Every operation from the n-th on finds the disk full, for all n but the middle of long rows of writes."""
    for number in moments(server, one_row, folder):
        full = server.run(ABLATE, folder, faults={"fail_from": number, "errno": "ENOSPC"})
        full.refused(3, "cannot be written: No space left on device", "free some space, or choose another folder")
        assert full.out == ""
        check_results(folder / "runs")
        one_row.check(server.run(ABLATE, folder))
        check_results(folder / "runs")
        shutil.rmtree(folder / "runs")


@pytest.mark.parametrize("error", ["EROFS", "EDQUOT", "EIO"])
def test_a_disk_that_refuses(server: ForkServer, one_row: SmallTable, folder: Path, error: str) -> None:
    """Mounted read-only, over its quota, or broken, at the beginning or on the way."""
    write(folder, one_row.recipe)
    for number in (1, 8, 16, 24, 36):
        refused = server.run(ABLATE, folder, faults={"fail_from": number, "errno": error})
        refused.refused(3, "cannot be written: ", "or choose another folder")
    check_results(folder / "runs")
    one_row.check(server.run(ABLATE, folder))


@pytest.mark.parametrize("kilobytes", [0, 1, 500, 3000])
def test_files_that_may_not_grow(server: ForkServer, one_row: SmallTable, folder: Path, kilobytes: int) -> None:
    """The kernel's own limit of a file's size."""
    write(folder, one_row.recipe)
    limited = server.run(ABLATE, folder, limits={"RLIMIT_FSIZE": kilobytes << 10})
    if kilobytes:  # else not even the message can be written
        limited.refused(3, "cannot be written: File too large")
    assert limited.code == 3
    check_results(folder / "runs")
    one_row.check(server.run(ABLATE, folder))


def test_a_small_disk(server: ForkServer, one_row: SmallTable, folder: Path) -> None:
    """Real file systems in memory that hold nothing, some or all of the work."""
    write(folder, one_row.recipe)
    disk = folder / "disk"
    disk.mkdir()
    command = [*ABLATE, "--results", str(disk / "runs")]
    for kilobytes in (4, 64, 2000, 4500, 6000):
        small = server.run(command, folder, disk={"at": str(disk), "kilobytes": kilobytes})
        if small.code == ForkServer.NO_MOUNTING:
            pytest.skip("this system lets nobody mount file systems in a namespace of their own")
        if small.code != 0:
            small.refused(3, "cannot be written: No space left on device", "free some space")
    one_row.check(server.run(command, folder, disk={"at": str(disk), "kilobytes": 20_000}))


def test_a_read_only_disk(server: ForkServer, one_row: SmallTable, folder: Path) -> None:
    """A real one, which not even the superuser can write to."""
    write(folder, one_row.recipe)
    disk = folder / "disk"
    disk.mkdir()
    command = [*ABLATE, "--results", str(disk / "runs")]
    read_only = server.run(command, folder, disk={"at": str(disk), "kilobytes": 20_000, "read_only": True})
    if read_only.code == ForkServer.NO_MOUNTING:
        pytest.skip("this system lets nobody mount file systems in a namespace of their own")
    read_only.refused(3, f"{disk}/runs: cannot be written: Read-only file system", "--results DIR")
