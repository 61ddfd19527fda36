"""Killed at any moment, a command loses at most the work since its last checkpoint, and ends in the same table."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path

from tests.faults.attempts import KILLED, ForkServer, without_times
from tests.faults.small_tables import ABLATE, SmallTable, moments, write
from tests.faults.whole import check_results

RANDOM_KILLS = 50


def test_fifty_kills_at_random_moments_change_nothing(server: ForkServer, two_rows: SmallTable, folder: Path) -> None:
    """Killed from outside after a time drawn over the whole command, again and again until it comes to its end."""
    draw, kills, finished = random.Random(0), 0, 0
    while kills < RANDOM_KILLS or not finished:
        at = folder / str(finished)
        write(at, two_rows.recipe)
        ended = server.run(ABLATE, at, kill_after=draw.uniform(0, two_rows.seconds))
        check_results(at / "runs")
        kills += ended.code == KILLED
        if ended.code == KILLED and kills < RANDOM_KILLS:
            continue
        two_rows.check(ended if ended.code != KILLED else server.run(ABLATE, at))
        check_results(at / "runs")
        assert len(list((at / "runs").glob("*-seed0"))) == 2, "a run was made twice"
        shutil.rmtree(at)
        finished += 1


def test_a_kill_at_any_operation_on_files_changes_nothing(
    server: ForkServer, one_row: SmallTable, folder: Path
) -> None:
    """Killed before its n-th open, write, sync, rename or removal, for all n but the middle of long rows of writes."""
    for number in moments(server, one_row, folder):
        killed = server.run(ABLATE, folder, faults={"kill_at": number})
        assert killed.code == KILLED, killed.err
        check_results(folder / "runs")
        one_row.check(server.run(ABLATE, folder))
        check_results(folder / "runs")
        shutil.rmtree(folder / "runs")


def test_a_table_is_written_whole_or_not_at_all(server: ForkServer, one_row: SmallTable, folder: Path) -> None:
    """Killed at every operation while files of a table are written."""
    write(folder, one_row.recipe)
    shutil.copytree(one_row.folder / "runs", folder / "runs")
    tables = [folder / name for name in ("table.json", "table.md", "table.tex", "table.csv")]
    command = [*ABLATE, "--only-finished", *(part for table in tables for part in ("--out", table.name))]
    assert server.run(command, folder).code == 0
    expected = {table: table.read_text(encoding="utf-8") for table in tables}
    assert without_times(expected[tables[0]]) == one_row.table
    for number in itertools.count(1):
        for table in tables:
            table.unlink(missing_ok=True)
        ended = server.run(command, folder, faults={"kill_at": number})
        for table in tables:
            assert not table.exists() or table.read_text(encoding="utf-8") == expected[table]
        assert server.run(command, folder).code == 0
        assert {table: table.read_text(encoding="utf-8") for table in tables} == expected
        if ended.code == 0:
            break
    assert number > 10
