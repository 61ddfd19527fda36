"""What the processes of a test do; apart from the tests, so that processes can import it quickly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dit_bench.engine import distributed
from dit_bench.engine.checkpoint import Position
from dit_bench.engine.devices import prepare
from dit_bench.engine.tasks import TASKS
from dit_bench.engine.train import Trainer
from dit_bench.errors import DataError, InterruptedRunError
from dit_bench.recipes.settings import RunSettings, RuntimeSettings


class Steps:
    """Keeps the losses, and asks for a stop after so many steps."""

    def __init__(self, stop_after: int | None = None):
        self.losses: list[float] = []
        self.epochs: list[dict[str, float]] = []
        self.stop_after = stop_after

    def started(self, position: Position, total_updates: int, epochs: int) -> None: ...

    def stepped(self, position: Position, loss: float) -> None:
        self.losses.append(loss)

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        self.epochs.append(metrics)

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.losses) >= self.stop_after


def train(
    settings: RunSettings,
    cache: str,
    folder: str,
    accumulation_steps: int = 1,
    stop_after: int | None = None,
    stopping_rank: int = 0,
    before: Callable[[Trainer], None] | None = None,
) -> tuple[dict[str, Tensor], list[float], list[dict[str, float]]]:
    """Weights, losses and epochs of a training, or of its beginning."""
    torch.set_num_threads(1)
    runtime = RuntimeSettings(device="cpu", threads=1, accumulation_steps=accumulation_steps)
    device, jobs = prepare(runtime), TASKS[settings.task]
    dataset = jobs.dataset(settings, "train", training=True, cache_dir=Path(cache))
    steps = Steps(stop_after if distributed.rank() == stopping_rank else None)
    trainer = Trainer(
        settings,
        runtime,
        0,
        lambda: jobs.training(settings, runtime, 0, dataset, device),
        device,
        Path(folder) if distributed.is_main() else None,
        [steps],
        steps.should_stop,
    )
    if before is not None:
        before(trainer)
    try:
        trainer.run()
    except InterruptedRunError:
        if stop_after is None:
            raise
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}, steps.losses, steps.epochs


def evaluate(settings: RunSettings, cache: str, batch_size: int) -> Any:
    """What an untrained network reaches."""
    torch.set_num_threads(1)
    runtime = RuntimeSettings(device="cpu", threads=1, eval_batch_size=batch_size)
    device, jobs = prepare(runtime), TASKS[settings.task]
    dataset = jobs.dataset(settings, "val", training=False, cache_dir=Path(cache))
    torch.manual_seed(0)
    model = jobs.build(settings, dataset.num_classes)
    return jobs.evaluate(model, dataset, settings, runtime, device)


def fail_on_last_rank(trainer: Trainer) -> None:
    """An image cannot be read by the last process, in the second step."""
    batches = trainer.task.batches

    def broken(epoch: int, start_step: int) -> Any:
        for number, batch in enumerate(batches(epoch, start_step)):
            if number == 1 and distributed.rank() == distributed.size() - 1:
                raise DataError("cat.jpg: no image")
            yield batch

    trainer.task.batches = broken  # type: ignore[method-assign]


def not_finite_on_last_rank(trainer: Trainer) -> None:
    """The last process finds a loss that is no number."""
    loss = trainer.task.loss

    def spoilt(batch: Any, epoch: int, step: int) -> Any:
        found = loss(batch, epoch, step)
        last = distributed.rank() == distributed.size() - 1
        return replace(found, loss=found.loss * float("nan")) if last else found

    trainer.task.loss = spoilt  # type: ignore[method-assign]
