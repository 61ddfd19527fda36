"""What a job does differently from task to task: reading data, training, evaluating and storing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from dit_bench.data.scenes.sources import Split
from dit_bench.engine.task import TrainingTask
from dit_bench.recipes.settings import RunSettings, RuntimeSettings


@dataclass(frozen=True)
class Outcome:
    """What evaluating a trained network gave; what belongs to single images lies in the run's folder."""

    metrics: dict[str, float]
    kept_ratio: list[list[float]]
    column_open_ratio: list[list[float]]
    num_images: int


class TaskJobs(Protocol):
    """One task as a job sees it."""

    def check(self, settings: RunSettings) -> None:
        """Raise UsageError for settings that this task does not have, before anything is read."""
        ...

    def dataset(self, settings: RunSettings, split: Split, *, training: bool, cache_dir: Path | None) -> Any:
        """The images of a split, for training or for evaluation; has `manifest_sha256()`."""
        ...

    def build(self, settings: RunSettings, dataset: Any) -> nn.Module:
        """The network, to have everything refused that it refuses."""
        ...

    def training(
        self, settings: RunSettings, runtime: RuntimeSettings, seed: int, dataset: Any, device: torch.device
    ) -> TrainingTask:
        """The network with its training data, for the loop."""
        ...

    def figures(
        self, model: nn.Module, dataset: Any, settings: RunSettings, runtime: RuntimeSettings, device: torch.device
    ) -> dict[str, float]:
        """Figures of merit of a network in the middle of its training, for the epoch log."""
        ...

    def finish(
        self,
        model: nn.Module,
        dataset: Any,
        settings: RunSettings,
        runtime: RuntimeSettings,
        device: torch.device,
        on_batch: Callable[[int, int], None],
        folder: Path,
    ) -> Outcome:
        """Evaluate and time the trained network, and write what belongs to single images into the run's folder."""
        ...


def of_merit(metrics: dict[str, float]) -> dict[str, float]:
    """What a curve over epochs may show of an evaluation's figures: percentages, and mean MACs."""
    return {name: value for name, value in metrics.items() if name.endswith("_percent") or name == "gmacs_mean"}
