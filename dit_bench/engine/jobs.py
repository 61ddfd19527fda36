"""From planned runs to finished ones: train, evaluate, time and publish each, or find it already done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save
from torch import nn

from dit_bench.data.scenes.sources import Split
from dit_bench.engine.build import check_model_name
from dit_bench.engine.class_agreement import check_same_classes
from dit_bench.engine.classification_jobs import ClassificationJobs
from dit_bench.engine.context import JobContext
from dit_bench.engine.detection_jobs import DetectionJobs
from dit_bench.engine.devices import prepare
from dit_bench.engine.interrupt import stop_requests
from dit_bench.engine.logs import EpochLog, TensorBoardLog
from dit_bench.engine.segmentation_jobs import SegmentationJobs
from dit_bench.engine.task import TrainingTask
from dit_bench.engine.task_jobs import TaskJobs
from dit_bench.engine.train import Trainer, TrainingListener
from dit_bench.models.weights import load_into, read_weights
from dit_bench.recipes.identity import canonical_json
from dit_bench.recipes.lineage import is_trained, lineage, parent
from dit_bench.recipes.settings import RunSettings, Task
from dit_bench.runs.atomic import write_bytes
from dit_bench.runs.provenance import collect_provenance
from dit_bench.runs.read import EPOCHS_FILE, TENSORBOARD_FOLDER, WEIGHTS_FILE, FinishedRun
from dit_bench.runs.record import RunRecord


class PlannedRun(Protocol):
    """What identifies a run: its settings and seed."""

    @property
    def settings(self) -> RunSettings:
        """What the run computes."""
        ...

    @property
    def seed(self) -> int:
        """The seed of all its random streams."""
        ...


# Each is a `TaskJobs` of its own kind of data set and batch.
TASKS: dict[Task, Any] = {
    "classification": ClassificationJobs(),
    "detection": DetectionJobs(),
    "segmentation": SegmentationJobs(),
}


@dataclass
class _Datasets:
    """Data sets of one command, each loaded once."""

    context: JobContext
    loaded: dict[tuple[object, ...], Any] = field(default_factory=dict)

    def training(self, settings: RunSettings) -> Any:
        return self._get(settings, "train", training=True)

    def evaluation(self, settings: RunSettings) -> Any:
        return self._get(settings, settings.data.eval_split, training=False)

    def _get(self, settings: RunSettings, split: Split, *, training: bool) -> Any:
        # What label images mean is a setting of segmentation.
        meaning = settings.segmentation.model_dump_json(include={"classes", "zero_label"})
        key = (settings.task, settings.data.model_dump_json(), meaning, split, training)
        if key not in self.loaded:
            jobs: TaskJobs = TASKS[settings.task]
            dataset = jobs.dataset(settings, split, training=training, cache_dir=self.context.cache_dir)
            self.loaded[key] = dataset
            if settings.task != "classification":
                self.context.reporter.data_read(split, str(dataset.summary))
        return self.loaded[key]


def run_all(plans: Sequence[PlannedRun], context: JobContext) -> list[FinishedRun]:
    """Finished runs of all plans, in their order; those that exist already are not run again unless forced.

    Everything that can be refused is refused before the first training starts. Raises InterruptedRunError when asked
    to stop; the next call goes on in the middle of the training that was stopped.
    """
    steps = _steps(plans)
    open_steps = [step for step in steps if _is_forced(step, context) or _found(step, context) is None]
    device = prepare(context.runtime)
    datasets = _Datasets(context)
    for step in open_steps:
        check_model_name(step.settings.model.name)
        TASKS[step.settings.task].check(step.settings)
    for settings in {step.settings.model_dump_json(): step.settings for step in open_steps}.values():
        train = datasets.training(settings)
        check_same_classes(train, datasets.evaluation(settings), settings)
        TASKS[settings.task].build(settings, train)
    finished: dict[tuple[str, int], FinishedRun] = {}
    with stop_requests(context.reporter.stop_requested) as should_stop:
        for number, step in enumerate(steps, start=1):
            done = None if _is_forced(step, context) else _found(step, context)
            if done is not None:
                context.reporter.run_found(done)
            else:
                before = parent(step.settings)
                start = None if before is None else finished[_Step(before, step.seed).key]
                done = _run(step, start, number, len(steps), context, datasets, device, should_stop)
                context.reporter.run_finished(done)
            finished[step.key] = done
    return [finished[_Step(plan.settings, plan.seed).key] for plan in plans]


@dataclass(frozen=True)
class _Step:
    """One run of a command: asked for by name, or needed by such a one."""

    settings: RunSettings
    seed: int
    named: bool = True

    @property
    def key(self) -> tuple[str, int]:
        """What makes it the same run as another."""
        return canonical_json(self.settings), self.seed


def _steps(plans: Sequence[PlannedRun]) -> list[_Step]:
    """All runs of a command, each once, after those whose weights it starts from."""
    steps: dict[tuple[str, int], _Step] = {}
    named = {_Step(plan.settings, plan.seed).key for plan in plans}
    for plan in plans:
        for settings in lineage(plan.settings):
            step = _Step(settings, plan.seed)
            steps.setdefault(step.key, replace(step, named=step.key in named))
    return list(steps.values())


def _is_forced(step: _Step, context: JobContext) -> bool:
    return context.force and step.named


def _found(step: _Step, context: JobContext) -> FinishedRun | None:
    return context.store.find(step.settings, step.seed)


def _run(
    step: _Step,
    start: FinishedRun | None,
    number: int,
    total: int,
    context: JobContext,
    datasets: _Datasets,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> FinishedRun:
    """Execute one step; `start` is the run whose weights it starts from."""
    settings, seed = step.settings, step.seed
    jobs: TaskJobs = TASKS[settings.task]
    with context.store.begin(settings, seed, force=_is_forced(step, context)) as folder:
        train, held_out = datasets.training(settings), datasets.evaluation(settings)
        name = folder.path.name.removesuffix(".partial")
        listener = context.reporter.run_started(name, number, total)
        if is_trained(settings):
            make_task = partial(jobs.training, settings, context.runtime, seed, train, device)
            evaluate = partial(
                jobs.figures, dataset=held_out, settings=settings, runtime=context.runtime, device=device
            )
            trained = _train(
                settings, seed, make_task, evaluate, start, context, device, folder.path, listener, should_stop
            )
        else:
            assert start is not None
            trained = _taken_over(jobs.build(settings, train), start, folder.path)
        on_batch = context.reporter.evaluating
        outcome = jobs.finish(trained.model, held_out, settings, context.runtime, device, on_batch, folder.path)
        weights = save({key: value.detach().cpu().contiguous() for key, value in trained.model.state_dict().items()})
        write_bytes(folder.path / WEIGHTS_FILE, weights)
        provenance = collect_provenance(
            device=str(device),
            threads=torch.get_num_threads(),
            accelerator=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            data_manifest_sha256=train.manifest_sha256(),
        )
        return folder.publish(
            RunRecord(
                run_id=name,
                settings=settings,
                seed=seed,
                provenance=provenance,
                metrics=outcome.metrics | trained.metrics,
                kept_ratio=outcome.kept_ratio,
                column_open_ratio=outcome.column_open_ratio,
                num_images=outcome.num_images,
                training=trained.training,
            )
        )


@dataclass(frozen=True)
class _Trained:
    """A network at the end of its training."""

    model: nn.Module
    metrics: dict[str, float]
    """What the training cost, and its last loss."""
    training: dict[str, float]
    """Figures of the last epoch."""


def _train(
    settings: RunSettings,
    seed: int,
    make_task: Callable[[], TrainingTask],
    evaluate: Callable[[nn.Module], dict[str, float]],
    start: FinishedRun | None,
    context: JobContext,
    device: torch.device,
    folder: Path,
    listener: TrainingListener,
    should_stop: Callable[[], bool],
) -> _Trained:
    """Train from scratch, from the weights of the run `start`, or on from where an earlier attempt was stopped."""
    log, tensorboard = EpochLog(folder / EPOCHS_FILE), TensorBoardLog(folder / TENSORBOARD_FOLDER)
    listeners: list[TrainingListener] = [log, tensorboard, listener]
    trainer = Trainer(settings, context.runtime, seed, make_task, device, folder, listeners, should_stop, evaluate)
    if start is not None:
        load_into(trainer.model, read_weights(start.weights_file), str(start.weights_file))
    try:
        model = trainer.run()
    finally:
        tensorboard.close()
    last, position = log.last(), trainer.position
    metrics = {
        "images_seen": float(position.images_seen),
        "train_seconds": position.seconds,
        "loss_final": last["loss"],
    }
    return _Trained(model, metrics, {key: value for key, value in last.items() if key != "epoch"})


def _taken_over(model: nn.Module, start: FinishedRun, folder: Path) -> _Trained:
    """The network of another run, which is only evaluated in another way; its training is on record here too."""
    load_into(model, read_weights(start.weights_file), str(start.weights_file))
    write_bytes(folder / EPOCHS_FILE, start.epochs_file.read_bytes())
    record = start.record
    metrics = {name: record.metrics[name] for name in ("images_seen", "train_seconds", "loss_final")}
    return _Trained(model, metrics, dict(record.training))
