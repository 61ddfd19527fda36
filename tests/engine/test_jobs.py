"""A network without gates goes the whole way: trained, evaluated, stored, found again, scored from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dit_bench.engine.context import JobContext
from dit_bench.engine.jobs import run_all
from dit_bench.engine.scoring import score_weights
from dit_bench.recipes.settings import (
    DataSettings,
    ModelSettings,
    OptimiserSettings,
    RoutingSettings,
    RunSettings,
    RuntimeSettings,
)
from dit_bench.runs.image_records import load_image_records
from dit_bench.runs.read import FinishedRun, load_run
from dit_bench.runs.store import RunStore


@dataclass(frozen=True)
class Plan:
    settings: RunSettings
    seed: int
    row_ids: tuple[str, ...] = ("row",)


class Quiet:
    """Watches and says nothing."""

    def data_read(self, split: str, summary: str) -> None: ...

    def run_found(self, run: FinishedRun) -> None: ...

    def run_started(self, name: str, number: int, total: int) -> Quiet:
        return self

    def started(self, position: object, total_updates: int, epochs: int) -> None: ...

    def stepped(self, position: object, loss: float) -> None: ...

    def epoch_ended(self, metrics: dict[str, float]) -> None: ...

    def evaluating(self, done: int, total: int) -> None: ...

    def run_finished(self, run: FinishedRun) -> None: ...

    def stop_requested(self) -> None: ...


@pytest.fixture
def settings() -> RunSettings:
    return RunSettings(
        model=ModelSettings(name="test_vit"),
        routing=RoutingSettings(variant="diagonal"),
        data=DataSettings(train_images=32, tune_images=10, val_images=12, min_scale=0.5, clutter=0),
        optimiser=OptimiserSettings(epochs=1, batch_size=16, warmup_epochs=0.5),
    )


def test_a_vision_transformer_is_trained_and_found_again(
    settings: RunSettings, tmp_path: Path, scene_cache: Path
) -> None:
    store = RunStore(tmp_path / "runs")
    context = JobContext(store, RuntimeSettings(device="cpu", data_dir=str(scene_cache)), Quiet())
    (run,) = run_all([Plan(settings, 0)], context)
    loaded = load_run(run.path).record
    assert loaded == run.record
    assert {"base_gmacs", "fully_gmacs", "base_latency_ms_per_image"}.isdisjoint(loaded.metrics)
    assert loaded.metrics["latency_ms_per_image"] > 0
    # Width 64, six blocks, MLP ratio 3; patches of 16 px and a class token make 17 tokens at 64 px.
    block = 17 * 64 * (3 * 64 + 64 + 2 * 3 * 64) + 2 * 17 * 17 * 64
    macs = 16 * (16 * 16 * 3) * 64 + 6 * block + 64 * 10
    records = load_image_records(run.path)
    assert set(records.macs.tolist()) == {macs}
    assert (loaded.kept_ratio, loaded.column_open_ratio, loaded.num_images) == ([[1.0]], [], 12)
    (again,) = run_all([Plan(settings, 0)], context)
    assert again.path == run.path
    (scored,) = score_weights(settings, run.weights_file, "val", context)
    assert records.prediction is not None
    assert np.array_equal(scored.evaluation.records["prediction"], records.prediction)
    assert list(scored.latency) == ["latency_ms_per_image"]
