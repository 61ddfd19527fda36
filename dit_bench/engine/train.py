"""Train one row: a plain loop that can be stopped after any step and picked up bit by bit (on the CPU)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dit_bench.engine import distributed
from dit_bench.engine.build import learned_routing, routed_part, routing_schedule
from dit_bench.engine.checkpoint import Position, read_state, restore, save_state
from dit_bench.engine.optimisation import build_optimiser, build_rate
from dit_bench.engine.portions import Objective, Portions
from dit_bench.engine.seeds import seed_everything, stream_seed
from dit_bench.engine.task import TrainingTask
from dit_bench.errors import InterruptedRunError, NonFiniteLossError
from dit_bench.models.dit.budget import budget_loss
from dit_bench.models.dit.costs import image_macs
from dit_bench.models.dit.model import DiT
from dit_bench.recipes.settings import RunSettings, RuntimeSettings

CHECKPOINT_SECONDS = 300.0
STATE_FILE = "state.safetensors"


class TrainingListener(Protocol):
    """Whoever wants to see training go on: a progress bar, TensorBoard, the epoch log."""

    def started(self, position: Position, total_updates: int, epochs: int) -> None:
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
    make_task: Callable[[], TrainingTask]
    """Builds network and data; called once the random streams stand at their start."""
    device: torch.device
    folder: Path | None
    """Where the state is kept while training is under way; None in all processes but the main one."""
    listeners: list[TrainingListener] = field(default_factory=list)
    should_stop: Callable[[], bool] = lambda: False
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None
    """Figures of the network as it stands, for the epoch log."""

    def __post_init__(self) -> None:
        seed_everything(self.seed)
        self.task = self.make_task()
        self.model, self.steps = self.task.model, self.task.steps
        self.routed = routed_part(self.model)
        if self.routed is not None:
            self.routed.generator = torch.Generator(self.device).manual_seed(stream_seed(self.seed, "gates"))
        self.optimiser = build_optimiser(self.model, self.settings)
        self.scaler = torch.amp.GradScaler("cuda") if self.settings.numerics.amp == "fp16" else None
        self.total_updates = self.task.updates
        self.epochs = -(-self.total_updates // self.steps)
        self.rate = build_rate(self.optimiser, self.settings, self.steps)
        self.schedule = routing_schedule(self.settings.routing)
        self.portions = Portions(self.task, self.settings, self.runtime, self.device)
        self.position, self.sums = Position(), {}

    def run(self) -> nn.Module:
        """Train from the saved state, if there is one, to the end; returns the trained network.

        Raises InterruptedRunError after saving, if asked to stop; NonFiniteLossError before the step that would have
        spoilt the weights.
        """
        state = None if self.folder is None else self.folder / STATE_FILE
        saved = distributed.from_main(read_state(state) if state is not None and state.is_file() else None)
        if saved is not None:
            self.position, self.sums = restore(saved, self.model, self.optimiser, self.scaler)
            del saved
        else:
            distributed.same_weights(self.model)
            # A stream of its own, so that nothing drawn between set-up and start changes the training.
            torch.manual_seed(stream_seed(self.seed, "training"))
        for listener in self.listeners:
            listener.started(self.position, self.total_updates, self.epochs)
        last_save, last_tick = time.monotonic(), time.monotonic()
        while self.position.epoch < self.epochs:
            self.model.train()
            batch = None
            for batch in self.task.batches(self.position.epoch, self.position.step):
                loss = self._step(batch)
                now = time.monotonic()
                self.position.seconds, last_tick = self.position.seconds + now - last_tick, now
                for listener in self.listeners:
                    listener.stepped(self.position, loss)
                ended = self.position.step == self.steps or self.position.updates == self.total_updates
                if distributed.any_of(self.should_stop()) and not ended:
                    self._save()
                    raise InterruptedRunError(
                        f"stopped in epoch {self.position.epoch + 1} of {self.epochs}",
                        remedy="the same command goes on from here",
                    )
                if ended:
                    break
                if now - last_save > CHECKPOINT_SECONDS:
                    self._save()
                    last_save = time.monotonic()
            assert batch is not None
            self._end_epoch(batch)
            self._save()
            # Neither evaluation nor saving is training time.
            last_save = last_tick = time.monotonic()
            if distributed.any_of(self.should_stop()) and self.position.epoch < self.epochs:
                raise InterruptedRunError(
                    f"stopped after epoch {self.position.epoch} of {self.epochs}",
                    remedy="the same command goes on from here",
                )
        return self.model

    def _step(self, batch: Any) -> float:
        position, routed = self.position, self.routed
        self.rate.set(position.epoch, position.updates)
        if routed is not None:
            routed.routing_state = self.schedule.state(self._progress())
        self.optimiser.zero_grad(set_to_none=True)
        found = self.portions.backward(
            batch,
            self._objective,
            self.scaler.scale if self.scaler else lambda loss: loss,
            self._check_finite,
            needs_sums=self.task.sums_over_batch or self._has_budget(),
        )
        values = {**found.values, "grad_norm": self._update()}
        if routed is not None:
            routed.update_gate_averages()
        position.step += 1
        position.updates += 1
        position.images_seen += found.num_images
        for name, value in values.items():
            if not math.isfinite(float(value)):  # the norm of a step that the scaler left out
                continue
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
            self.sums[f"{name}.count"] = self.sums.get(f"{name}.count", 0.0) + 1
        return float(values["loss"])

    def _progress(self) -> float:
        """The part of the training that is done, in [0, 1]."""
        return self.position.updates / self.total_updates

    def _has_budget(self) -> bool:
        """Whether the cost of the routes belongs to what is minimised now."""
        learned = learned_routing(self.model)
        return learned is not None and not learned.routing_state.open

    def _objective(self, batch: Any) -> Objective:
        """What is minimised on a batch, or on a share of one."""
        found = self.task.loss(batch, self.position.epoch, self.position.step)
        loss, values = found.loss, {"task_loss": found.loss.detach(), **found.terms}
        if self._has_budget():
            assert found.route is not None
            assert self.routed is not None
            costs = self.routed.costs(found.route.image_size)
            budget = budget_loss(found.route.trace, costs, self.settings.routing.budget_ratio, self.device)
            loss = loss + self.schedule.weight(self._progress()) * budget.loss
            values |= {"budget_loss": budget.loss.detach(), "sampled_cost_ratio": budget.cost_ratio}
        return Objective(loss, {**values, "loss": loss.detach()}, found.num_images)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise self._not_finite("loss", loss)

    def _not_finite(self, what: str, value: float) -> NonFiniteLossError:
        return NonFiniteLossError(
            f"the {what} became {value} in epoch {self.position.epoch + 1}, step {self.position.step + 1}",
            remedy="the state before it is kept; lower optimiser.lr or set optimiser.clip_grad_norm",
        )

    def _update(self) -> Tensor:
        """Clip and step; returns the norm of the gradients."""
        scaler = self.scaler
        if scaler:
            scaler.unscale_(self.optimiser)
        limit = self.settings.optimiser.clip_grad_norm
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), math.inf if limit is None else limit)
        # A scaler leaves such a step out by itself and goes on with a smaller scale.
        if scaler is None and not math.isfinite(float(norm)):
            raise self._not_finite("gradient", float(norm))
        if scaler:
            scaler.step(self.optimiser)
            scaler.update()
        else:
            self.optimiser.step()
        return norm.detach()

    def _end_epoch(self, batch: Any) -> None:
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
                "deterministic_cost_ratio": self._deterministic_cost(routed, batch),
                "gate_noise": routed.routing_state.noise,
                "gates_open": float(routed.routing_state.open),
            }
        position.epoch, position.step = position.epoch + 1, 0
        position.epochs_logged, self.sums = position.epoch, {}
        metrics |= self._evaluated()
        for listener in self.listeners:
            listener.epoch_ended({"epoch": float(position.epoch), **metrics})

    def _evaluated(self) -> dict[str, float]:
        """Figures after this epoch, if they are due; those after the last one come from the run's own evaluation."""
        every, epoch = self.runtime.evaluate_every_epochs, self.position.epoch
        if self.evaluate is None or not every or epoch % every or epoch == self.epochs:
            return {}
        # torch's global stream belongs to the training, whatever an evaluation draws.
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            found = self.evaluate(self.model)
        self.model.train()
        return found

    @torch.no_grad()
    def _deterministic_cost(self, routed: DiT, batch: Any) -> float:
        """Cost of the arg-max gates on the epoch's last batch: what inference would execute."""
        self.model.eval()
        route = self.task.route(batch)
        self.model.train()
        costs = routed.costs(route.image_size)
        macs = image_macs(route.trace, costs, torch.int64, self.device).cpu().double()
        # Exact in whichever order they are added.
        total, count = distributed.add_up(torch.stack([macs.sum(), macs.new_tensor(len(macs))])).tolist()
        return total / count / costs.base

    def _save(self) -> None:
        if self.folder is None:
            return
        save_state(self.folder / STATE_FILE, self.model, self.optimiser, self.position, self.sums, self.scaler)
