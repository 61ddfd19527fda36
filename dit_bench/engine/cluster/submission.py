"""Hands jobs to submitit: to Slurm, or to this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from dit_bench.engine.cluster.job import RunJob
from dit_bench.engine.cluster.request import DEFAULT_TIME_MIN, SAVE_SECONDS, ClusterRequest
from dit_bench.engine.cluster.slurm_parameters import slurm_parameters
from dit_bench.engine.cluster.slurm_queue import JobState, SlurmQueue
from dit_bench.errors import MissingExtraError, UsageError
from dit_bench.runs.atomic import write_text

JOBS_FOLDER = "jobs"
"""Folder below the results folder with one folder per run: what was submitted, and the logs."""
SUBMITTED_FILE, OUTCOME_FILE = "submitted.json", "outcome.json"
_NO_LIMIT_MIN = 60 * 24 * 365
_MOST_TIMEOUTS = 1000
"""Jobs that save go back into the queue as often as it takes; whether they get on is checked where they are watched."""


class Submitter(Protocol):
    """A place where jobs run."""

    @property
    def capacity(self) -> int | None:
        """Jobs that it takes at the same time; None: as many as there are."""
        ...

    def submit(self, name: str, job: RunJob) -> str:
        """Submit the job of the run of that name; returns the job's id."""
        ...

    def look(self, ids: Collection[str]) -> dict[str, JobState]:
        """How jobs stand."""
        ...

    def cancel(self, job_id: str) -> None:
        """End a job; it saves its state first."""
        ...

    def left_behind(self, name: str) -> str | None:
        """The id of a job of that run which an earlier command submitted, if it may still be there."""
        ...


def submitter(request: ClusterRequest, root: Path, threads: int | None, device: str) -> Submitter:
    """The place that was asked for; jobs keep their files below the results folder `root`.

    Raises MissingExtraError without submitit, and UsageError where there is no Slurm.
    """
    submitit = import_submitit()
    if request.cluster == "slurm":
        return SlurmSubmitter(submitit, request, root)
    return LocalSubmitter(submitit, request, root, threads, device)


def import_submitit() -> ModuleType:
    """The package submitit; MissingExtraError with the remedy where it is not installed."""
    try:
        import submitit
    except ImportError:
        raise MissingExtraError("--cluster needs the package submitit", extra="cluster") from None
    return submitit


def log_file(root: Path, name: str, job_id: str) -> Path:
    """Where a job writes what it has to say."""
    return job_folder(root, name) / f"{job_id}_0_log.out"


def job_folder(root: Path, name: str) -> Path:
    """The folder of a run's jobs."""
    return root / JOBS_FOLDER / name


class SlurmSubmitter:
    """Jobs of Slurm, one task each."""

    def __init__(self, submitit: ModuleType, request: ClusterRequest, root: Path):
        self._submitit, self._request, self._root = submitit, request, root
        self._queue = SlurmQueue()
        self.capacity = request.max_jobs

    def submit(self, name: str, job: RunJob) -> str:
        """See `Submitter`. Raises UsageError with Slurm's own words if it refuses the job."""
        request = self._request
        folder = job_folder(self._root, name)
        try:
            executor = self._submitit.SlurmExecutor(folder=folder, max_num_timeout=_MOST_TIMEOUTS)
            executor.update_parameters(
                job_name=name,
                nodes=1,
                ntasks_per_node=1,
                time=request.time_min or DEFAULT_TIME_MIN,
                stderr_to_stdout=True,
                **slurm_parameters(request),
            )
        except RuntimeError:
            raise UsageError(
                "--cluster slurm: there is no srun on this machine",
                remedy="submit from a login node of the cluster, or use --cluster local",
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        # A job that is submitted from within a job would inherit what that one was given.
        bare = self._submitit.helpers.clean_env() if "SLURM_JOB_ID" in os.environ else nullcontext()
        try:
            with bare:
                job_id = str(executor.submit(job).job_id)
        except (self._submitit.core.utils.FailedJobError, self._submitit.core.utils.FailedSubmissionError) as error:
            raise UsageError(
                f"Slurm refuses the job of {name}: {error}", remedy="mend --partition or --slurm"
            ) from None
        except FileNotFoundError:
            raise UsageError("--cluster slurm: there is no sbatch on this machine") from None
        write_text(folder / SUBMITTED_FILE, json.dumps({"cluster": "slurm", "id": job_id}) + "\n")
        return job_id

    def look(self, ids: Collection[str]) -> dict[str, JobState]:
        """See `Submitter`."""
        return self._queue.look(ids)

    def cancel(self, job_id: str) -> None:
        """See `Submitter`."""
        subprocess.run(["scancel", job_id], capture_output=True, check=False)

    def left_behind(self, name: str) -> str | None:
        """See `Submitter`; it is still there unless the queue says otherwise."""
        try:
            found = json.loads((job_folder(self._root, name) / SUBMITTED_FILE).read_text(encoding="utf-8"))
            job_id = str(found["id"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if self.look([job_id])[job_id].name == "ended" else job_id


class LocalSubmitter:
    """Processes of this machine, so many at a time; each has GPUs of its own."""

    def __init__(self, submitit: ModuleType, request: ClusterRequest, root: Path, threads: int | None, device: str):
        self._submitit, self._request, self._root = submitit, request, root
        self._jobs: dict[str, Any] = {}
        self._devices_of: dict[str, list[int]] = {}
        self._free, self._gpus, self.capacity = local_places(request, threads, device)

    def submit(self, name: str, job: RunJob) -> str:
        """See `Submitter`."""
        request = self._request
        folder = job_folder(self._root, name)
        executor = self._submitit.LocalExecutor(folder=folder, max_num_timeout=_MOST_TIMEOUTS)
        devices = [self._free.pop(0) for _ in range(self._gpus)]
        executor.update_parameters(
            timeout_min=request.time_min or _NO_LIMIT_MIN,
            signal_delay_s=min(SAVE_SECONDS, 60 * (request.time_min or _NO_LIMIT_MIN) // 2),
            tasks_per_node=1,
            gpus_per_node=len(devices),
            visible_gpus=devices,
            stderr_to_stdout=True,
        )
        with _deaf_to_the_terminal():
            submitted = executor.submit(job)
        job_id = str(submitted.job_id)
        self._jobs[job_id], self._devices_of[job_id] = submitted, devices
        return job_id

    def look(self, ids: Collection[str]) -> dict[str, JobState]:
        """See `Submitter`."""
        states = {}
        for job_id in ids:
            if self._jobs[job_id].state == "RUNNING":
                states[job_id] = JobState("running")
            else:
                states[job_id] = JobState("ended")
                self._free = sorted({*self._free, *self._devices_of.pop(job_id, [])})
        return states

    def cancel(self, job_id: str) -> None:
        """See `Submitter`."""
        process = self._jobs[job_id]._process
        if process is not None:
            process.send_signal(signal.SIGTERM)

    def left_behind(self, name: str) -> str | None:
        """Nothing: processes that still work hold the lock of their run."""
        return None


def local_places(request: ClusterRequest, threads: int | None, device: str) -> tuple[list[int], int, int]:
    """GPUs of this machine that jobs may have, GPUs of each job, and jobs at the same time.

    Without a word each job has a GPU, or, where there is none, all cores. Raises UsageError for more GPUs than there
    are.
    """
    free = visible_gpus() if device == "auto" or device.startswith("cuda") else []
    gpus = min(1, len(free)) if request.gpus is None else request.gpus
    if gpus > len(free):
        raise UsageError(f"--gpus {gpus}: this machine has {len(free)} CUDA device(s) to give")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fitting = len(free) // gpus if gpus else cores // (request.cpus or threads or cores)
    wanted = request.max_jobs or max(1, fitting)
    return free, gpus, min(wanted, fitting) if gpus else wanted


def visible_gpus() -> list[int]:
    """Numbers of the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES counts them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None or not torch.cuda.is_available():
        return list(range(torch.cuda.device_count()))
    return [int(number) for number in named.split(",") if number.strip().isdigit()]


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C and the closing of the terminal; only the main thread can see to it."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    try:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    except ValueError:
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
