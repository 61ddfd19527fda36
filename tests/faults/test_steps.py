"""Steps whose loss or gradient is not a number: stopped before they spoil the weights, and taken up again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from dit_bench.data.loading import build_dataset
from dit_bench.engine.checkpoint import Position
from dit_bench.engine.classification_task import ClassificationTraining
from dit_bench.engine.train import Trainer
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from tests.faults.attempts import ForkServer
from tests.faults.small_tables import ABLATE, SmallTable, write
from tests.faults.whole import check_results


@pytest.mark.parametrize("step", [2, 4])
@pytest.mark.parametrize(("fault", "what"), [("nan_at", "loss"), ("bad_gradient_at", "gradient")])
def test_the_state_before_the_step_is_kept_and_good(
    server: ForkServer, two_rows: SmallTable, folder: Path, fault: str, what: str, step: int
) -> None:
    """In the middle of the first epoch, and in the last step of training, after which weights would be published."""
    write(folder, two_rows.recipe)
    ended = server.run(ABLATE, folder, faults={fault: step})
    place = f"epoch {(step + 1) // 2}, step {2 - step % 2}"
    ended.refused(5, f"the {what} became nan in {place}", "the state before it is kept", "lower optimiser.lr")
    assert ended.out == ""
    (state,) = (folder / "runs").glob("*.partial/state.safetensors")
    with safe_open(state, framework="pt") as file:
        assert all(bool(file.get_tensor(name).isfinite().all()) for name in file.keys())  # noqa: SIM118 - no mapping
    check_results(folder / "runs")
    two_rows.check(server.run(ABLATE, folder))


def test_a_step_that_a_gradient_scaler_leaves_out_spoils_no_figure(tmp_path: Path) -> None:
    """Half precision begins with a scale that is too large: such steps have no norm, and training goes on."""
    settings = RunSettings.model_validate(
        {
            "model": {"name": "pvt_v2_nano"},
            "routing": {"variant": "diagonal"},
            "data": {"image_size_px": 32, "train_images": 16, "clutter": 0, "min_scale": 0.5},
            "optimiser": {"epochs": 1, "batch_size": 8, "warmup_epochs": 0.5},
        }
    )
    device, found = torch.device("cpu"), []
    dataset = build_dataset(settings.data, "train", tmp_path)

    class Listener:
        def started(self, position: Position, total_updates: int, epochs: int) -> None: ...

        def stepped(self, position: Position, loss: float) -> None: ...

        def epoch_ended(self, metrics: dict[str, float]) -> None:
            found.append(metrics)

    def task() -> ClassificationTraining:
        return ClassificationTraining(settings, RuntimeSettings(), 0, dataset, device)

    trainer = Trainer(settings, RuntimeSettings(), 0, task, device, tmp_path, [Listener()])
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-120)
    trained = trainer.run()
    assert isinstance(trained, nn.Module)
    assert all(bool(value.isfinite().all()) for value in trained.parameters())
    assert any(not torch.equal(before[name], value) for name, value in trained.named_parameters())
    assert all(value == value and abs(value) != float("inf") for value in found[0].values())
    assert found[0]["grad_norm"] > 0
