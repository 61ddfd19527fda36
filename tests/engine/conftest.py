"""Trainings of a few seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dit_bench.data.loading import build_dataset
from dit_bench.engine.checkpoint import Position
from dit_bench.engine.classification_task import ClassificationTraining
from dit_bench.engine.train import Trainer
from dit_bench.recipes.settings import (
    DataSettings,
    ModelSettings,
    OptimiserSettings,
    RoutingSettings,
    RunSettings,
    RuntimeSettings,
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def scene_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


def tiny_settings(variant: str = "dynamic", **changes: Any) -> RunSettings:
    routing = {"open_fraction": 0.3, "noise_end_fraction": 0.8, "budget_ramp_start_fraction": 0.3, **changes}
    return RunSettings(
        model=ModelSettings(name="dit_nano", drop_path_rate=0.1),
        routing=RoutingSettings.model_validate({"variant": variant, **routing}),
        data=DataSettings(train_images=64, tune_images=20, val_images=30, min_scale=0.5, clutter=0),
        optimiser=OptimiserSettings(epochs=3, batch_size=16, warmup_epochs=1.0),
    )


@pytest.fixture
def settings() -> RunSettings:
    return tiny_settings()


class Recorder:
    """Keeps what training reports."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.epochs: list[dict[str, float]] = []

    def started(self, position: Position, total_updates: int, epochs: int) -> None:
        pass

    def stepped(self, position: Position, loss: float) -> None:
        self.losses.append(loss)

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        self.epochs.append(metrics)


@pytest.fixture
def make_trainer(tmp_path: Path, scene_cache: Path) -> Callable[..., tuple[Trainer, Recorder]]:
    def build(
        settings: RunSettings, folder: str = "run", seed: int = 0, should_stop: Callable[[], bool] = lambda: False
    ) -> tuple[Trainer, Recorder]:
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        recorder, dataset = Recorder(), build_dataset(settings.data, "train", scene_cache)
        device = torch.device("cpu")

        def make_task() -> ClassificationTraining:
            return ClassificationTraining(settings, RuntimeSettings(), seed, dataset, device)

        return Trainer(settings, RuntimeSettings(), seed, make_task, device, path, [recorder], should_stop), recorder

    return build
