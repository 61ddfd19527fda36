"""Where a run comes from, gathered without importing any heavy package."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import dit_bench
from dit_bench.runs.record import Provenance

PACKAGES = ("torch", "timm", "torchvision", "numpy")


def collect_provenance(
    *,
    device: str,
    threads: int,
    accelerator: str | None = None,
    weights_sha256: str | None = None,
    data_manifest_sha256: str | None = None,
) -> Provenance:
    """Describe this process, its packages, its machine and its checkout."""
    commit, dirty = _checkout()
    return Provenance(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        dit_bench_version=dit_bench.__version__,
        git_commit=commit,
        git_dirty=dirty,
        # The program's path says nothing about the run and differs from machine to machine.
        argv=[Path(sys.argv[0]).name, *sys.argv[1:]],
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages={name: version for name in PACKAGES if (version := _version(name)) is not None},
        device=device,
        processor=processor_name(),
        accelerator=accelerator,
        threads=threads,
        weights_sha256=weights_sha256,
        data_manifest_sha256=data_manifest_sha256,
    )


def processor_name() -> str:
    """Name of the CPU as the operating system gives it, else its architecture."""
    if sys.platform == "darwin":
        name = _output(["sysctl", "-n", "machdep.cpu.brand_string"])
    else:
        name = _proc_cpuinfo()
    return name or platform.processor() or platform.machine() or "unknown"


def _proc_cpuinfo() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip() or None
    return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _checkout() -> tuple[str | None, bool | None]:
    package = Path(dit_bench.__file__).resolve().parent
    # An installed copy may lie inside somebody else's repository: only a tracked file tells that the commit is ours.
    if _output(["git", "ls-files", "--error-unmatch", "__init__.py"], package) is None:
        return None, None
    commit = _output(["git", "rev-parse", "--verify", "HEAD"], package)
    if commit is None:
        return None, None
    status = _output(["git", "status", "--porcelain", "--", ".", "../recipes"], package)
    return commit, None if status is None else bool(status)


def _output(command: list[str], folder: Path | None = None) -> str | None:
    """Standard output of a short command; None when it is not there or fails."""
    # A git hook that runs us sets GIT_DIR and the like for another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
