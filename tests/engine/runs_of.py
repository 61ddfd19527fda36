"""What tests of whole runs share: a planned run, a reporter that watches, a context with a store of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_bench.engine.context import JobContext
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.store import RunStore


@dataclass(frozen=True)
class Plan:
    settings: RunSettings
    seed: int
    row_ids: tuple[str, ...] = ("row",)


class Watching:
    """Watches and says nothing."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None

    def run_started(self, name: str, number: int, total: int) -> Any:
        return self

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        self.epochs.append(metrics)


def context_of(folder: Path, scene_cache: Path, **runtime: Any) -> JobContext:
    settings = RuntimeSettings(device="cpu", data_dir=str(scene_cache), **runtime)
    watching: Any = Watching()
    return JobContext(RunStore(folder), settings, watching)
