"""What a user asks of the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ClusterName = Literal["slurm", "local"]


@dataclass(frozen=True)
class ClusterRequest:
    """Where jobs go, and what each of them gets."""

    cluster: ClusterName
    partition: str | None = None
    time_min: int | None = None
    """Minutes after which a job is asked to save and is queued anew; None is `DEFAULT_TIME_MIN` on Slurm, and no limit
    on this machine."""
    cpus: int | None = None
    """CPU cores of a job, and threads, unless the user says otherwise; None leaves it to the cluster."""
    gpus: int | None = None
    mem_gb: float | None = None
    max_jobs: int | None = None
    """Jobs at the same time; None: as many as there are on Slurm, as many as fit on this machine."""
    restarts: int = 2
    """So often is a run started again that ended without a word. Interrupted ones always go on."""
    cancel_on_exit: bool = False
    poll_seconds: float | None = None
    """Time between two looks at the jobs; None is `POLL_SECONDS`."""
    slurm: Mapping[str, str] = field(default_factory=dict)
    """Further options of sbatch, and `signal_delay_s`, `setup`, `teardown` and `srun_args` of submitit."""


DEFAULT_TIME_MIN = 240
SAVE_SECONDS = 120
"""So long before its end a job is asked to save: a step and the writing of the state must fit in."""
POLL_SECONDS = {"slurm": 30.0, "local": 1.0}
