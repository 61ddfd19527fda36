"""Slurm's own words, read from stand-ins for its commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from dit_bench.engine.cluster.slurm_queue import JobState, SlurmQueue


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What squeue and sacct print, each from the file of that name; without one they fail."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("squeue", "sacct"):
        file = commands / name
        file.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/{name}.asked"\ncat "{tmp_path}/{name}"\n')
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    return tmp_path


def test_jobs_in_the_queue_are_queued_or_running(answers: Path) -> None:
    (answers / "squeue").write_text("1|PENDING\n2|RUNNING\n3|COMPLETING\n4|SUSPENDED\n5|CONFIGURING\n99|RUNNING\n")
    states = SlurmQueue().look(["1", "2", "3", "4", "5"])
    assert {job_id: state.name for job_id, state in states.items()} == {
        "1": "queued",
        "2": "running",
        "3": "running",
        "4": "running",
        "5": "queued",
    }
    assert not (answers / "sacct.asked").exists()


@pytest.mark.parametrize("word", ["COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"])
def test_how_a_job_ended_comes_from_the_accounts(word: str, answers: Path) -> None:
    (answers / "squeue").write_text("8|RUNNING\n")
    (answers / "sacct").write_text(f"7|{word}\n9|CANCELLED by 1000\n")
    states = SlurmQueue().look(["7", "8", "9"])
    assert states["7"] == JobState("ended", word)
    assert states["8"].name == "running"
    assert states["9"] == JobState("ended", "CANCELLED")
    assert "--jobs=7,9" in (answers / "sacct.asked").read_text()


def test_accounts_that_lag_behind_are_not_believed_at_once(answers: Path) -> None:
    queue = SlurmQueue()
    (answers / "squeue").write_text("7|RUNNING\n")
    assert queue.look(["7"])["7"].name == "running"
    (answers / "squeue").write_text("")
    (answers / "sacct").write_text("7|RUNNING\n")
    looks = [queue.look(["7"])["7"].name for _ in range(12)]
    assert looks[:8] == ["running"] * 8
    assert looks[-1] == "ended"


def test_while_slurm_does_not_answer_jobs_stand_as_they_did(answers: Path) -> None:
    queue = SlurmQueue()
    assert queue.look(["7"])["7"].name == "queued"
    (answers / "squeue").write_text("7|RUNNING\n")
    assert queue.look(["7"])["7"].name == "running"
    (answers / "squeue").unlink()
    assert [queue.look(["7"])["7"].name for _ in range(12)] == ["running"] * 12
