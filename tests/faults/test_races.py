"""Eight processes on one folder of runs: one works on a run, the others say who it is, nothing is made twice."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tests.faults.attempts import ForkServer
from tests.faults.small_tables import ABLATE, TRAIN, SmallTable, write
from tests.faults.whole import check_results

PROCESSES = 8


def _content(folder: Path) -> dict[str, str]:
    """The hash of every file."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


def test_one_of_eight_does_the_work_and_the_others_name_it(
    server: ForkServer, one_row: SmallTable, folder: Path
) -> None:
    """Started together; some reach for the run at once, some when it is under way, some when it is finished."""
    write(folder, one_row.recipe)
    late = [one_row.seconds * 2 * k / PROCESSES for k in range(PROCESSES)]
    ended = server.together([ABLATE] * PROCESSES, folder, late=late)
    workers = [done for done in ended if "epoch 1/1" in done.err]
    assert len(workers) == 1, [done.err for done in ended]
    for done in ended:
        if done.code == 0:
            one_row.check(done)
        else:
            done.refused(2, f"is being worked on by process {workers[0].pid} — wait for it")
            assert done.out == ""
    assert len(list((folder / "runs").glob("*-seed0*"))) == 1
    check_results(folder / "runs")


def test_eight_runs_in_one_folder_at_once(server: ForkServer, one_row: SmallTable, folder: Path) -> None:
    write(folder, one_row.recipe)
    ended = server.together([[*TRAIN, "--seed", str(seed)] for seed in range(PROCESSES)], folder)
    assert [done.code for done in ended] == [0] * PROCESSES, [done.err for done in ended]
    check_results(folder / "runs")
    assert len(list((folder / "runs").glob("*-seed?"))) == PROCESSES
    one_row.check(server.run(ABLATE, folder))


def test_a_table_whose_rows_are_raced_for(server: ForkServer, two_rows: SmallTable, folder: Path) -> None:
    """Whoever finds a row taken gives up with code 2; asked again and again, all end in the same table."""
    write(folder, two_rows.recipe)
    commands = [[*ABLATE, *(("--row", "pvt") if k % 2 else ())] for k in range(PROCESSES)]
    made = 0
    for _ in range(6):
        ended = server.together(commands, folder, late=[0.02 * k for k in range(PROCESSES)])
        made += sum(len(re.findall(r"epoch 2/2", done.err)) for done in ended)
        assert {done.code for done in ended} <= {0, 2}, [done.err for done in ended]
        if all(done.code == 0 for done in ended):
            break
    assert all(done.code == 0 for done in ended)
    assert made == 2, "a run was made twice"
    check_results(folder / "runs")
    two_rows.check(ended[0])


def test_forced_repeats_leave_the_finished_run_alone(server: ForkServer, one_row: SmallTable, folder: Path) -> None:
    write(folder, one_row.recipe)
    assert server.run(TRAIN, folder).code == 0
    (first,) = (folder / "runs").glob("*-seed0")
    before = _content(first)
    ended = server.together([[*TRAIN, "--force"]] * 4, folder, late=[one_row.seconds * k / 2 for k in range(4)])
    assert {done.code for done in ended} <= {0, 2}
    repeats = sorted(path.name for path in (folder / "runs").glob("*-seed0-r*"))
    assert repeats == [f"{first.name}-r{k + 2}" for k in range(sum(done.code == 0 for done in ended))]
    assert _content(first) == before
    check_results(folder / "runs")
