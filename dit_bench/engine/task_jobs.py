"""What a job does differently from task to task: reading data, training, evaluating and storing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from dit_bench.data.scenes.sources import Split
from dit_bench.engine.task import TrainingTask
from dit_bench.recipes.settings import RunSettings, RuntimeSettings


class Evaluated(Protocol):
    """What evaluating a network gives, whatever the task."""

    @property
    def metrics(self) -> dict[str, float]:
        """Figures by name."""
        ...

    @property
    def num_images(self) -> int:
        """Images evaluated."""
        ...

    @property
    def kept_ratio(self) -> list[list[float]]:
        """Mean kept tokens over all tokens, (N scales, M stages)."""
        ...

    @property
    def column_open_ratio(self) -> list[list[float]]:
        """Share of images whose column gate was open, (N - 1, M + 1)."""
        ...


class TaskJobs(Protocol):
    """One task as a job sees it."""

    def check(self, settings: RunSettings) -> None:
        """Raise UsageError for settings that this task does not have, before anything is read."""
        ...

    def dataset(self, settings: RunSettings, split: Split, *, training: bool, cache_dir: Path | None) -> Any:
        """The images of a split, for training or for evaluation; has `manifest_sha256()`."""
        ...

    def build(self, settings: RunSettings, num_classes: int) -> nn.Module:
        """The network, freshly initialised; raises UsageError for settings that it refuses."""
        ...

    def training(
        self, settings: RunSettings, runtime: RuntimeSettings, seed: int, dataset: Any, device: torch.device
    ) -> TrainingTask:
        """The network with its training data, for the loop."""
        ...

    # Any, since each task's own functions ask for its kind of network and data set.
    evaluate: Any
    """(model, dataset, settings, runtime, device, on_batch) → `Evaluated`; `on_batch(done, total)` may be left out."""
    latency: Any
    """(model, dataset, settings, device) → milliseconds per image by name."""

    def store(self, evaluation: Any, folder: Path) -> None:
        """Write what belongs to single images into a run's folder."""
        ...


def of_merit(metrics: dict[str, float]) -> dict[str, float]:
    """What a curve over epochs may show of an evaluation's figures: percentages, and mean MACs."""
    return {name: value for name, value in metrics.items() if name.endswith("_percent") or name == "gmacs_mean"}
