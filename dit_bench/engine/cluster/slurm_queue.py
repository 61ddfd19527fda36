"""What Slurm says of jobs: `squeue` for those that it still has, `sacct` for how the others ended."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

JobStateName = Literal["queued", "running", "ended"]
ENDED_BY_CLUSTER = ("PREEMPTED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "REQUEUED")
"""Ways in which a job ends for which its run is not to blame."""
OUT_OF_MEMORY, CANCELLED = "OUT_OF_MEMORY", "CANCELLED"
_ENDED = (*ENDED_BY_CLUSTER, OUT_OF_MEMORY, CANCELLED, "COMPLETED", "FAILED", "DEADLINE")
_QUEUED = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")
_MOST_MISSES = 10
"""Looks after which a job that the queue has no longer, and of whose end there is no record, counts as ended."""


@dataclass(frozen=True)
class JobState:
    """How a job stands."""

    name: JobStateName
    word: str = ""
    """The cluster's own word for it."""


class SlurmQueue:
    """Asks Slurm about jobs of this user. While it does not answer, jobs stand as they did."""

    def __init__(self) -> None:
        self._last: dict[str, JobState] = {}
        self._misses: dict[str, int] = {}

    def look(self, ids: Collection[str]) -> dict[str, JobState]:
        """The state of each of these jobs."""
        alive = self._alive()
        if alive is not None:
            gone = [job_id for job_id in ids if job_id not in alive]
            self._last |= {job_id: state for job_id, state in alive.items() if job_id in ids}
            if gone:
                self._look_back(gone)
        return {job_id: self._last.get(job_id, JobState("queued")) for job_id in ids}

    def _alive(self) -> dict[str, JobState] | None:
        lines = _lines(["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%T"])
        if lines is None:
            return None
        states = {}
        for line in lines:
            job_id, _, word = line.strip().partition("|")
            states[job_id] = JobState("queued" if word in _QUEUED else "running", word)
        return states

    def _look_back(self, gone: list[str]) -> None:
        fields = "--format=JobID,State"
        lines = _lines(["sacct", "--noheader", "--parsable2", "--allocations", fields, f"--jobs={','.join(gone)}"])
        ended = {}
        for line in lines or []:
            job_id, _, word = line.strip().partition("|")
            # As in "CANCELLED by 1000".
            ended[job_id] = (word.split() or [""])[0]
        for job_id in gone:
            word = ended.get(job_id, "")
            self._misses[job_id] = self._misses.get(job_id, 0) + 1
            if word in _ENDED or self._misses[job_id] >= _MOST_MISSES:
                self._last[job_id] = JobState("ended", word)


def _lines(command: list[str]) -> list[str] | None:
    """What a command prints; None if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return [line for line in done.stdout.splitlines() if line.strip()]
