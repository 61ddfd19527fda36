"""A Slurm of one machine for tests: installed as sbatch, srun, squeue, sacct, scancel and scontrol.

Jobs are files below $FAKE_SLURM: `<id>.state` with Slurm's word for it, `<id>.pid` of the task, `<id>.args` of srun.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scancel", "scontrol")
HOME = Path(os.environ.get("FAKE_SLURM", "."))


def install(folder: Path) -> None:
    """Put the commands into a folder, for PATH."""
    folder.mkdir()
    for name in COMMANDS:
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n', encoding="utf-8")
        file.chmod(0o755)


def _set(job_id: str, state: str) -> None:
    aside = HOME / f".{job_id}.{os.getpid()}"
    aside.write_text(state, encoding="utf-8")
    aside.rename(HOME / f"{job_id}.state")


def _state(job_id: str) -> str:
    return (HOME / f"{job_id}.state").read_text(encoding="utf-8")


def sbatch(arguments: list[str]) -> int:
    """Take the script, give an id, run it in the background."""
    if (HOME / "refuse").exists():
        print("sbatch: error: invalid partition specified: nowhere", file=sys.stderr)
        return 1
    job_id = str(1000 + len(list(HOME.glob("*.state"))))
    (HOME / f"{job_id}.sh").write_text(Path(arguments[0]).read_text(encoding="utf-8"), encoding="utf-8")
    _set(job_id, "PENDING")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        command = [sys.executable, __file__, "execute", job_id]
        subprocess.Popen(command, stdout=nowhere, stderr=nowhere, start_new_session=True)
    print(f"Submitted batch job {job_id}")
    return 0


def execute(job_id: str) -> int:
    """What a node does: run the script, and again when it was put back into the queue meanwhile."""
    own = {"SLURM_JOB_ID": job_id, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    while (HOME / "hold").exists():
        time.sleep(0.05)
    while True:
        if _state(job_id) != "PENDING":
            return 0
        _set(job_id, "RUNNING")
        code = subprocess.run(["bash", str(HOME / f"{job_id}.sh")], env={**os.environ, **own}, check=False).returncode
        if _state(job_id) == "RUNNING":
            _set(job_id, "COMPLETED" if code == 0 else "FAILED")


def srun(arguments: list[str]) -> int:
    """Run one task with its output where it is asked for."""
    job_id = os.environ["SLURM_JOB_ID"]
    output = arguments[arguments.index("--output") + 1].replace("%j", job_id).replace("%t", "0")
    command = arguments[arguments.index("--output") + 2 :]
    (HOME / f"{job_id}.args").write_text("\n".join(arguments), encoding="utf-8")
    with open(output, "a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        (HOME / f"{job_id}.pid").write_text(str(process.pid), encoding="utf-8")
        return abs(process.wait())


def squeue(arguments: list[str]) -> int:
    """Jobs that are not over."""
    for file in sorted(HOME.glob("*.state")):
        if file.read_text(encoding="utf-8") in ("PENDING", "RUNNING"):
            print(f"{file.stem}|{file.read_text(encoding='utf-8')}")
    return 0


def sacct(arguments: list[str]) -> int:
    """The jobs that are asked for."""
    asked = next(argument for argument in arguments if argument.startswith("--jobs=")).removeprefix("--jobs=")
    for job_id in asked.split(","):
        if (HOME / f"{job_id}.state").exists():
            word = _state(job_id)
            print(f"{job_id}|{'CANCELLED by 1000' if word == 'CANCELLED' else word}")
    return 0


def scancel(arguments: list[str]) -> int:
    """Send a signal to a task, or end its job with SIGTERM."""
    number = next((item for item in arguments if item.startswith("--signal=")), "")
    job_id = next(item for item in arguments if re.fullmatch(r"\d+", item))
    if not number:
        _set(job_id, "CANCELLED")
    pid = HOME / f"{job_id}.pid"
    if pid.exists():
        name = f"SIG{number.removeprefix('--signal=') or 'TERM'}"
        os.kill(int(pid.read_text(encoding="utf-8")), signal.Signals[name])
    return 0


def scontrol(arguments: list[str]) -> int:
    """Only `scontrol requeue ID`."""
    assert arguments[0] == "requeue"
    _set(arguments[1], "PENDING")
    with (HOME / f"{arguments[1]}.requeued").open("a", encoding="utf-8") as file:
        file.write("again\n")
    return 0


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    sys.exit(execute(rest[0]) if name == "execute" else globals()[name](rest))
