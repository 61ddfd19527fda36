"""A process that has everything imported and forks a child for each command line: real processes in milliseconds.

Reads one JSON list of children per line on standard input, runs them all at the same time, and answers with one JSON
list of how they ended. See `tests.faults.attempts` for what a child may be told.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults import injection

LONGEST_SECONDS = 300.0
NO_MOUNTING = 77
CLONE_NEWNS, CLONE_NEWUSER, MS_RDONLY = 0x00020000, 0x10000000, 1
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until standard input ends."""
    _die_with_parent()
    import torch

    torch.set_num_threads(1)
    preload()
    gc.freeze()  # or a child's garbage collector would copy every page that it looks at
    requests, answers = sys.stdin, os.fdopen(os.dup(sys.stdout.fileno()), "w")
    answers.write("ready\n")
    answers.flush()
    for request in requests:
        answers.write(json.dumps(_together(json.loads(request))) + "\n")
        answers.flush()


def preload() -> None:
    """Import what a command would import, so that no child has to."""
    import importlib
    import pkgutil

    import dit_bench

    for module in pkgutil.walk_packages(dit_bench.__path__, "dit_bench."):
        if module.name.endswith("__main__"):
            continue
        with suppress(Exception):  # a module whose package is optional and not there
            importlib.import_module(module.name)
    importlib.import_module("torch.utils.tensorboard")


def _together(children: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fork all children, kill those whose time has come, and say how each ended."""
    started = {_fork(child): (child, time.monotonic()) for child in children}
    handles = {os.pidfd_open(pid): pid for pid in started}
    ended: dict[int, dict[str, Any]] = {}
    while handles:
        now = time.monotonic()
        due = {pid: start + child.get("kill_after", LONGEST_SECONDS) - now for pid, (child, start) in started.items()}
        wait = min(due[pid] for pid in handles.values())
        ready, _, _ = select.select(list(handles), [], [], max(wait, 0.0))
        for pid in [] if ready else [pid for pid in handles.values() if due[pid] <= 0]:
            os.kill(pid, signal.SIGKILL)
            started[pid] = ({**started[pid][0], "kill_after": LONGEST_SECONDS}, started[pid][1])
        for handle in ready:
            pid = handles.pop(handle)
            os.close(handle)
            _, status, used = os.wait4(pid, 0)
            ended[pid] = {
                "pid": pid,
                "code": os.waitstatus_to_exitcode(status),
                "seconds": time.monotonic() - started[pid][1],
                "cpu_seconds": used.ru_utime + used.ru_stime,
            }
    return [ended[pid] for pid in started]


def _fork(child: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    _die_with_parent()
    try:
        code = _run(child)
    except BaseException as error:
        print(f"the child itself failed: {type(error).__name__}: {error}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _die_with_parent() -> None:
    """A test that is ended from outside must leave no process behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(child: dict[str, Any]) -> int:
    os.chdir(child["cwd"])
    for name, stream in (("stdout", 1), ("stderr", 2)):
        descriptor = os.open(child[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, stream)
        os.close(descriptor)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    sys.argv = ["dit-bench", *child["arguments"]]
    os.environ.update(child.get("environment", {}))
    if "disk" in child and not _mounted(**child["disk"]):
        return NO_MOUNTING
    for name, limit in child.get("limits", {}).items():
        number = getattr(resource, name)
        resource.setrlimit(number, (limit, resource.getrlimit(number)[1]))
    if "spare_memory" in child:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + child["spare_memory"]
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    injection.install(child.get("faults", {}), Path(child["cwd"]))
    from dit_bench.cli.app import main as command

    return command(child["arguments"])


def _mounted(at: str, kilobytes: int, read_only: bool = False) -> bool:
    """Put this process into a mount namespace of its own, and a file system of this size there; whether that worked."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS):
        return False
    try:
        for name, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path(f"/proc/self/{name}").write_text(line, encoding="ascii")
    except OSError:
        return False
    options = f"size={kilobytes}k".encode()
    return libc.mount(b"tmpfs", at.encode(), b"tmpfs", MS_RDONLY if read_only else 0, options) == 0


if __name__ == "__main__":
    main()
