"""Train one row: a plain loop that can be stopped after any step and picked up bit by bit (on the CPU)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from dit_bench.data.loading import Dataset, steps_per_epoch, training_batches
from dit_bench.engine.build import build_model, learned_routing, routing_schedule
from dit_bench.engine.checkpoint import Position, load_state, save_state
from dit_bench.engine.devices import autocast
from dit_bench.engine.optimisation import LearningRate, build_optimiser
from dit_bench.engine.seeds import numpy_stream, seed_everything, stream_seed
from dit_bench.errors import InterruptedRunError, NonFiniteLossError
from dit_bench.models.dit.budget import budget_loss
from dit_bench.models.dit.costs import image_macs
from dit_bench.models.dit.model import DiT
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.tasks.classification import build_mixup, training_loss

CHECKPOINT_SECONDS = 300.0
STATE_FILE = "state.safetensors"


class TrainingListener(Protocol):
    """Whoever wants to see training go on: a progress bar, TensorBoard, the epoch log."""

    def started(self, position: Position, steps_per_epoch: int, epochs: int) -> None:
        """Training starts or goes on at `position`."""
        ...

    def stepped(self, position: Position, loss: float) -> None:
        """One optimiser step is done."""
        ...

    def epoch_ended(self, metrics: dict[str, float]) -> None:
        """One epoch is done, with its metrics."""
        ...


@dataclass
class Trainer:
    """All that training one row needs; `run` trains to the end or raises."""

    settings: RunSettings
    runtime: RuntimeSettings
    seed: int
    dataset: Dataset
    device: torch.device
    folder: Path
    """Where the state is kept while training is under way."""
    listeners: list[TrainingListener] = field(default_factory=list)
    should_stop: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        seed_everything(self.seed)
        self.model = build_model(self.settings, self.dataset.num_classes).to(self.device)
        if isinstance(self.model, DiT):
            self.model.generator = torch.Generator(self.device).manual_seed(stream_seed(self.seed, "gates"))
        self.optimiser = build_optimiser(self.model, self.settings)
        self.scaler = torch.amp.GradScaler("cuda") if self.settings.numerics.amp == "fp16" else None
        options = self.settings.optimiser
        self.steps = steps_per_epoch(self.dataset, self.settings.augment, options.batch_size)
        self.total_updates = self.steps * options.epochs
        self.rate = LearningRate(self.optimiser, self.settings, self.steps)
        self.schedule = routing_schedule(self.settings.routing)
        self.mixup = build_mixup(self.settings.augment, self.dataset.num_classes)
        self.forward = torch.compile(self.model) if self.settings.numerics.compile else self.model
        self.position, self.sums = Position(), {}

    def run(self) -> nn.Module:
        """Train from the saved state, if there is one, to the end; returns the trained network.

        Raises InterruptedRunError after saving, if asked to stop; NonFiniteLossError before the step that would have
        spoilt the weights.
        """
        state = self.folder / STATE_FILE
        if state.is_file():
            self.position, self.sums = load_state(state, self.model, self.optimiser, self.scaler)
        else:
            # A stream of its own, so that nothing drawn between set-up and start changes the training.
            torch.manual_seed(stream_seed(self.seed, "training"))
        for listener in self.listeners:
            listener.started(self.position, self.steps, self.settings.optimiser.epochs)
        last_save, last_tick = time.monotonic(), time.monotonic()
        while self.position.epoch < self.settings.optimiser.epochs:
            self.model.train()
            images = labels = None
            for images, labels in self._batches():
                loss = self._step(images, labels)
                now = time.monotonic()
                self.position.seconds, last_tick = self.position.seconds + now - last_tick, now
                for listener in self.listeners:
                    listener.stepped(self.position, loss)
                if self.should_stop() and self.position.step < self.steps:
                    self._save()
                    raise InterruptedRunError(
                        f"stopped in epoch {self.position.epoch + 1} of {self.settings.optimiser.epochs}",
                        remedy="the same command goes on from here",
                    )
                if now - last_save > CHECKPOINT_SECONDS:
                    self._save()
                    last_save = time.monotonic()
            assert images is not None
            self._end_epoch(images)
            self._save()
            last_save = time.monotonic()
            if self.should_stop() and self.position.epoch < self.settings.optimiser.epochs:
                raise InterruptedRunError(
                    f"stopped after epoch {self.position.epoch} of {self.settings.optimiser.epochs}",
                    remedy="the same command goes on from here",
                )
        return self.model

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return training_batches(
            self.dataset,
            self.settings.data,
            self.settings.augment,
            batch_size=self.settings.optimiser.batch_size,
            seed=self.seed,
            epoch=self.position.epoch,
            start_step=self.position.step,
            workers=self.runtime.workers,
        )

    def _step(self, images: Tensor, labels: Tensor) -> float:
        position, model = self.position, self.model
        images, targets = images.to(self.device), labels.to(self.device)
        if self.mixup is not None:
            with numpy_stream(self.seed, "mixup", position.epoch, position.step):
                images, targets = self.mixup(images, targets)
        progress = position.updates / self.total_updates
        self.rate.set(position.epoch, position.updates)
        if isinstance(model, DiT):
            model.routing_state = self.schedule.state(progress)
        with autocast(self.device, self.settings.numerics):
            if isinstance(model, DiT):
                logits, trace = self.forward(images, with_trace=True)
            else:
                logits, trace = self.forward(images), None
        task_loss = training_loss(logits, targets, self.settings.augment.label_smoothing)
        loss, values = task_loss, {"task_loss": task_loss.detach()}
        if (routed := learned_routing(model)) is not None and not routed.routing_state.open:
            assert trace is not None
            costs = routed.costs((images.shape[-2], images.shape[-1]))
            budget = budget_loss(trace, costs, self.settings.routing.budget_ratio, self.device)
            loss = task_loss + self.schedule.weight(progress) * budget.loss
            values |= {"budget_loss": budget.loss.detach(), "sampled_cost_ratio": budget.cost_ratio}
        values["loss"] = loss.detach()
        if not math.isfinite(float(loss.detach())):
            raise NonFiniteLossError(
                f"the loss became {float(loss.detach())} in epoch {position.epoch + 1}, step {position.step + 1}",
                remedy="the state before it is kept; lower optimiser.lr or set optimiser.clip_grad_norm",
            )
        values["grad_norm"] = self._update(loss)
        if isinstance(model, DiT):
            model.update_gate_averages()
        position.step += 1
        position.updates += 1
        position.images_seen += len(images)
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
            self.sums[f"{name}.count"] = self.sums.get(f"{name}.count", 0.0) + 1
        return float(values["loss"])

    def _update(self, loss: Tensor) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        scaler = self.scaler
        (scaler.scale(loss) if scaler else loss).backward()
        if scaler:
            scaler.unscale_(self.optimiser)
        limit = self.settings.optimiser.clip_grad_norm
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), math.inf if limit is None else limit)
        if scaler:
            scaler.step(self.optimiser)
            scaler.update()
        else:
            self.optimiser.step()
        return norm.detach()

    def _end_epoch(self, images: Tensor) -> None:
        position = self.position
        metrics = {
            name: total / self.sums[f"{name}.count"] for name, total in self.sums.items() if not name.endswith(".count")
        }
        metrics |= {
            "lr": self.optimiser.param_groups[0]["lr"],
            "images_seen": float(position.images_seen),
            "seconds": position.seconds,
        }
        if (routed := learned_routing(self.model)) is not None:
            metrics |= {
                "target_cost_ratio": self.settings.routing.budget_ratio,
                "deterministic_cost_ratio": self._deterministic_cost(routed, images),
                "gate_noise": routed.routing_state.noise,
                "gates_open": float(routed.routing_state.open),
            }
        position.epoch, position.step = position.epoch + 1, 0
        position.epochs_logged, self.sums = position.epoch, {}
        for listener in self.listeners:
            listener.epoch_ended({"epoch": float(position.epoch), **metrics})

    @torch.no_grad()
    def _deterministic_cost(self, model: DiT, images: Tensor) -> float:
        """Cost of the arg-max gates on the epoch's last batch: what inference would execute."""
        model.eval()
        images = images.to(self.device)
        with autocast(self.device, self.settings.numerics):
            _, trace = model(images, with_trace=True)
        model.train()
        costs = model.costs((images.shape[-2], images.shape[-1]))
        return float(image_macs(trace, costs, torch.int64, self.device).cpu().double().mean()) / costs.base

    def _save(self) -> None:
        save_state(self.folder / STATE_FILE, self.model, self.optimiser, self.position, self.sums, self.scaler)
