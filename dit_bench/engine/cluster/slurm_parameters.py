"""From options of the command line to what submitit calls them."""

from __future__ import annotations

import inspect
import re
from typing import Any

from dit_bench.engine.cluster.request import SAVE_SECONDS, ClusterRequest
from dit_bench.errors import UsageError

_OWN_OPTION = {
    "partition": "--partition",
    "time": "--time-min",
    "cpus_per_task": "--cpus",
    "gpus_per_node": "--gpus",
    "mem": "--mem-gb",
    "array_parallelism": "--max-jobs",
}
_OURS = (
    *("job_name", "nodes", "ntasks", "ntasks_per_node", "dependency", "array", "output", "error", "open_mode"),
    *("signal", "stderr_to_stdout", "use_srun", "map_count", "additional_parameters", "num_gpus", "wrap", "parsable"),
)
_LISTS = ("setup", "teardown", "srun_args")


def slurm_parameters(request: ClusterRequest) -> dict[str, Any]:
    """Parameters of submitit's Slurm executor for what was asked.

    `request.slurm` may name any option of sbatch; those that submitit does not know are handed on as they are. Raises
    UsageError for those that are set in another way, and for a value that is no number where one is needed.
    """
    found: dict[str, Any] = {
        "partition": request.partition,
        "cpus_per_task": request.cpus,
        "gpus_per_node": request.gpus,
        "mem": None if request.mem_gb is None else f"{round(request.mem_gb * 1024)}MB",
        "signal_delay_s": SAVE_SECONDS,
    }
    further: dict[str, Any] = {}
    known = _known()
    for given, value in request.slurm.items():
        key = given.replace("-", "_")
        check_slurm_key(given)
        if key in _LISTS:
            found[key] = [value]
        elif key in known:
            found[key] = _converted(given, value, known[key])
        else:
            further[key] = True if value == "" else value
    if further:
        found["additional_parameters"] = further
    return {key: value for key, value in found.items() if value is not None}


def check_slurm_key(given: str) -> None:
    """Raise UsageError for an option of sbatch that cannot be given by `--slurm`."""
    key = given.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise UsageError(f"--slurm {given}: not the name of an option of sbatch", remedy="as in --slurm account=vision")
    if key in _OWN_OPTION:
        raise UsageError(f"--slurm {given}: has an option of its own", remedy=f"use {_OWN_OPTION[key]}")
    if key in _OURS:
        raise UsageError(f"--slurm {given}: is set by dit-bench", remedy="leave it out")


def _known() -> dict[str, type]:
    """The parameters that submitit knows, with their types as far as their defaults show them."""
    from submitit.slurm.slurm import _make_sbatch_string

    parameters = inspect.signature(_make_sbatch_string).parameters.values()
    return {item.name: type(item.default) for item in parameters if item.default is not inspect.Parameter.empty}


def _converted(given: str, value: str, kind: type) -> Any:
    if value == "":
        return True
    if kind is not int:
        return value
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"--slurm {given}={value}: must be a whole number") from None


def parse_slurm_options(options: tuple[str, ...]) -> dict[str, str]:
    """`key=value`, or a bare `key`, as sbatch has them without the two dashes; raises UsageError for a wrong one."""
    found: dict[str, str] = {}
    for option in options:
        key, _, value = option.removeprefix("--").partition("=")
        check_slurm_key(key)
        if key in found:
            raise UsageError(f"--slurm {key}: given twice")
        found[key] = value
    return found
