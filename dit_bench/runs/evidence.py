"""What finished runs of a results folder tell about runs to come: how long they took, how much disk they fill."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dit_bench.recipes.identity import canonical_json
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.read import WEIGHTS_FILE, FinishedRun, list_runs


@dataclass(frozen=True)
class Evidence:
    """The finished runs with the same settings; they differ in the seed alone."""

    runs: tuple[FinishedRun, ...]

    @property
    def settings(self) -> RunSettings:
        """What all of them compute."""
        return self.runs[0].record.settings

    def figure(self, name: str) -> float | None:
        """The median of a metric, over the runs that have it."""
        found = [run.record.metrics[name] for run in self.runs if name in run.record.metrics]
        return statistics.median(found) if found else None

    @cached_property
    def canonical_json(self) -> str:
        """The settings as what makes runs the same."""
        return canonical_json(self.settings)

    @property
    def disk_bytes(self) -> float:
        """The median size of the runs' folders."""
        return statistics.median(folder_bytes(run.path) for run in self.runs)

    @property
    def records_bytes(self) -> float:
        """The same without the weights."""
        return statistics.median(folder_bytes(run.path) - _size(run.path / WEIGHTS_FILE) for run in self.runs)

    @property
    def described(self) -> str:
        """How a source of an estimate names them."""
        name = f"{self.settings.model.name}, {self.settings.routing.variant}"
        return f"{len(self.runs)} finished run{'s' if len(self.runs) > 1 else ''} of {name}"


def gather_evidence(root: Path, kind: str) -> list[Evidence]:
    """The finished runs on a kind of device, as `cpu` or `cuda`, those with the same settings together."""
    groups: dict[str, list[FinishedRun]] = {}
    for run in list_runs(root).finished:
        if run.record.provenance.device.partition(":")[0] == kind:
            groups.setdefault(canonical_json(run.record.settings), []).append(run)
    return [Evidence(tuple(runs)) for runs in groups.values()]


def same_settings(evidence: Sequence[Evidence], settings: RunSettings) -> Evidence | None:
    """The runs with these settings."""
    wanted = canonical_json(settings)
    return next((group for group in evidence if group.canonical_json == wanted), None)


def folder_bytes(folder: Path) -> int:
    """The sum of the sizes of all files in a folder."""
    return sum(_size(file) for file in folder.rglob("*"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:
        return 0
