"""Command lines as children of a fork server, what they leave behind, and whether it is whole."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KILLED = -9
QUICK = {
    "dit_bench.engine.train.CHECKPOINT_SECONDS": 0.0,  # a checkpoint after every step
    "dit_bench.engine.latency.LATENCY_IMAGES": 1,
}


@dataclass(frozen=True)
class Ended:
    """How one process ended, and what it printed."""

    pid: int
    code: int
    """Exit code, or minus the number of the signal."""
    seconds: float
    cpu_seconds: float
    out: str
    err: str

    def refused(self, code: int, *parts: str) -> None:
        """Assert that it ended with `code`, without a traceback, and with one line of error that has all `parts`."""
        assert self.code == code, self.err
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert "Traceback" not in self.err, self.err
        for part in parts:
            assert part in errors[0], errors[0]


class ForkServer:
    """A client of `tests.faults.fork_server`."""

    NO_MOUNTING = 77
    """Exit code of a child for which no disk could be mounted."""

    def __init__(self, folder: Path, prefix: Sequence[str] = ()):
        self.folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.faults.fork_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "DIT_BENCH_CACHE": str(folder / "scenes")},
        )
        assert self._read() == "ready", "the fork server did not start"

    def run(self, arguments: Sequence[str], folder: Path, **how: Any) -> Ended:
        """Run one command line in a folder; see `together`."""
        return self.together([arguments], folder, **how)[0]

    def together(
        self,
        commands: Sequence[Sequence[str]],
        folder: Path,
        *,
        faults: dict[str, Any] | None = None,
        late: Sequence[float] = (),
        **how: Any,
    ) -> list[Ended]:
        """Run command lines at the same time, all in one folder.

        `faults` are those of `injection.install`, `late` the value of the one of that name for each command;
        `kill_after` a time in seconds; `limits` soft limits by name as RLIMIT_AS; `stdout` and `stderr` other files for
        the streams; `disk` a file system in memory of so many `kilobytes`, kept `at` a folder by nobody else, perhaps
        `read_only`.
        """
        faults = {**(faults or {}), "constants": {**QUICK, **(faults or {}).get("constants", {})}}
        children = []
        for arguments, seconds in itertools.zip_longest(commands, late, fillvalue=0.0):
            self._count += 1
            streams = {name: str(self.folder / f"{self._count}.{name}") for name in ("stdout", "stderr")}
            child = {
                "arguments": arguments,
                "cwd": str(folder),
                "faults": {**faults, "late": seconds},
                **streams,
                **how,
            }
            children.append(child)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(children) + "\n")
        self._process.stdin.flush()
        ended = []
        for child, answer in zip(children, json.loads(self._read()), strict=True):
            files = [Path(child[name]) for name in ("stdout", "stderr")]
            out, err = (file.read_text(encoding="utf-8") if file.is_file() else "" for file in files)
            ended.append(Ended(**answer, out=out, err=err))
        return ended

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def without_times(table: str) -> Any:
    """A table's JSON, or a run's, without what is measured in seconds and where it ran."""
    return _strip(json.loads(table))


TIMES = re.compile(r"latency|seconds|speed|rho|created_utc|argv|^path$|git_|code_sha256")


def _strip(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _strip(value) for key, value in data.items() if not TIMES.search(key)}
    return [_strip(value) for value in data] if isinstance(data, list) else data
