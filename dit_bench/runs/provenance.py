"""Where a run comes from, gathered without importing any heavy package."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import dit_bench
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.files import file_sha256
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.record import Provenance, StartingPoint

PACKAGES = ("torch", "timm", "torchvision", "numpy", "pillow", "scikit-learn", "safetensors", "pycocotools")
"""Those whose version may change a figure."""


def collect_provenance(
    *,
    device: str,
    threads: int,
    accelerator: str | None = None,
    weights_sha256: str | None = None,
    data_manifest_sha256: str | None = None,
    evaluation_manifest_sha256: str | None = None,
    starts_from: Sequence[StartingPoint] | None = None,
    plugins: Mapping[str, str] | None = None,
    processes: int = 1,
) -> Provenance:
    """Describe this process, its packages, its machine and its checkout."""
    commit, dirty = _checkout()
    return Provenance(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        dit_bench_version=dit_bench.__version__,
        git_commit=commit,
        git_dirty=dirty,
        code_sha256=code_sha256(),
        # The program's path says nothing about the run and differs from machine to machine.
        argv=[Path(sys.argv[0]).name, *sys.argv[1:]],
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        packages={name: version for name in PACKAGES if (version := _version(name)) is not None},
        plugins=dict(plugins or {}),
        device=device,
        processor=processor_name(),
        accelerator=accelerator,
        threads=threads,
        processes=processes,
        weights_sha256=weights_sha256,
        data_manifest_sha256=data_manifest_sha256,
        evaluation_manifest_sha256=evaluation_manifest_sha256,
        starts_from=None if starts_from is None else list(starts_from),
    )


def starting_points(settings: RunSettings, start: FinishedRun | None = None) -> list[StartingPoint]:
    """The weights that training begins with: those of the run `start`, and of the file that the settings name."""
    found = []
    if settings.model.init_weights is not None:
        file = Path(settings.model.init_weights).expanduser()
        found.append(StartingPoint(file=settings.model.init_weights, weights_sha256=file_sha256(file)))
    if start is not None:
        found.append(StartingPoint(run_id=start.record.run_id, weights_sha256=file_sha256(start.weights_file)))
    return found


def code_version() -> dict[str, str | bool | None]:
    """Which dit-bench this is: version, commit, whether the checkout had changes, and the hash of the code."""
    commit, dirty = _checkout()
    known: dict[str, str | bool | None] = {"dit_bench_version": dit_bench.__version__, "git_commit": commit}
    return {**known, "git_dirty": dirty, "code_sha256": code_sha256()}


def code_sha256() -> str:
    """SHA-256 over the names and contents of dit-bench's own Python files."""
    package, digest = Path(dit_bench.__file__).resolve().parent, hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package).as_posix()}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


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
