"""From planned runs to finished ones: train, evaluate, time and publish each, or find it already done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from dit_bench.data.scenes.sources import Split
from dit_bench.engine import distributed
from dit_bench.engine.build import check_model_name
from dit_bench.engine.class_agreement import check_same_classes
from dit_bench.engine.context import JobContext
from dit_bench.engine.devices import prepare
from dit_bench.engine.interrupt import stop_requests
from dit_bench.engine.logs import EpochLog, TensorBoardLog
from dit_bench.engine.sharing import check_sharing
from dit_bench.engine.task import TrainingTask
from dit_bench.engine.task_jobs import of_merit
from dit_bench.engine.tasks import TASKS
from dit_bench.engine.train import Trainer, TrainingListener
from dit_bench.models.weights import load_into, read_weights
from dit_bench.recipes.lineage import is_trained, parent
from dit_bench.recipes.settings import RunSettings
from dit_bench.recipes.used_plugins import plugin_versions
from dit_bench.runs.atomic import write_bytes
from dit_bench.runs.plan import AskedRun, PlannedStep, plan_steps, run_key
from dit_bench.runs.provenance import collect_provenance, starting_points
from dit_bench.runs.read import EPOCHS_FILE, TENSORBOARD_FOLDER, WEIGHTS_FILE, FinishedRun
from dit_bench.runs.record import Provenance, RunRecord
from dit_bench.runs.store import FinishedMeanwhileError, OpenRun


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
            jobs, cache_dir = TASKS[settings.task], self.context.cache_dir
            with distributed.first_on_each_machine():
                dataset = jobs.dataset(settings, split, training=training, cache_dir=cache_dir)
            self.loaded[key] = dataset
            if settings.task != "classification":
                self.context.reporter.data_read(split, str(dataset.summary))
        return self.loaded[key]


def run_all(plans: Sequence[AskedRun], context: JobContext) -> list[FinishedRun]:
    """Finished runs of all plans, in their order; those that exist already are not run again unless forced.

    Everything that can be refused is refused before the first training starts. Raises InterruptedRunError when asked
    to stop; the next call goes on in the middle of the training that was stopped.
    """
    steps = plan_steps(plans)
    device = prepare(context.runtime)
    finished = distributed.from_main(_finished(steps, context) if distributed.is_main() else {})
    open_steps = [step for step in steps if step.key not in finished]
    datasets = _Datasets(context)
    for step in open_steps:
        check_model_name(step.settings.model.name)
        TASKS[step.settings.task].check(step.settings)
        if is_trained(step.settings):
            check_sharing(step.settings, context.runtime)
    for settings in {step.settings.model_dump_json(): step.settings for step in open_steps}.values():
        train = datasets.training(settings)
        check_same_classes(train, datasets.evaluation(settings), settings)
        TASKS[settings.task].build(settings, train.num_classes)
    with stop_requests(context.reporter.stop_requested) as should_stop:
        command = _Command(context, datasets, device, should_stop)
        for number, step in enumerate(steps, start=1):
            if step.key in finished:
                context.reporter.run_found(finished[step.key])
                continue
            before = parent(step.settings)
            start = None if before is None else finished[run_key(before, step.seed)]
            finished[step.key] = command.run(step, start, number, len(steps))
            context.reporter.run_finished(finished[step.key])
    return [finished[run_key(plan.settings, plan.seed)] for plan in plans]


def _finished(steps: Sequence[PlannedStep], context: JobContext) -> dict[tuple[str, int], FinishedRun]:
    """Runs that exist already and may be used."""
    found: dict[tuple[str, int], FinishedRun] = {}
    for step in steps:
        run = None if context.force and step.asked else context.store.find(step.settings, step.seed)
        if run is not None:
            found[step.key] = run
    return found


@dataclass(frozen=True)
class _Trained:
    """A network at the end of its training."""

    model: nn.Module
    metrics: dict[str, float]
    """What the training cost, and its last loss."""
    training: dict[str, float]
    """Figures of the last epoch."""


@dataclass(frozen=True)
class _Command:
    """What all steps of a command share, and how one is executed."""

    context: JobContext
    datasets: _Datasets
    device: torch.device
    should_stop: Callable[[], bool]

    def run(self, step: PlannedStep, start: FinishedRun | None, number: int, total: int) -> FinishedRun:
        """Execute one step; `start` is the run whose weights it starts from.

        All processes train and evaluate; the main one alone holds the run's folder, measures times and writes.
        """
        if not distributed.is_main():
            meanwhile: FinishedRun | None = distributed.from_main(None)
            if meanwhile is not None:
                return meanwhile
            self._evaluated(step, self._model(step, start, None, []))
            published: Any = distributed.from_main(None)
            return published
        context = self.context
        try:
            opened = context.store.begin(step.settings, step.seed, force=context.force and step.asked)
        except FinishedMeanwhileError as found:
            return distributed.from_main(found.run)
        distributed.from_main(None)
        with opened as folder:
            listener = context.reporter.run_started(folder.name, number, total)
            return distributed.from_main(self._fill(folder, step, start, listener))

    def _fill(
        self, folder: OpenRun, step: PlannedStep, start: FinishedRun | None, listener: TrainingListener
    ) -> FinishedRun:
        """Train, evaluate, time and publish a run."""
        settings, jobs = step.settings, TASKS[step.settings.task]
        trained = self._model(step, start, folder.path, [listener])
        model, found = trained.model, self._evaluated(step, trained)
        jobs.store(found, folder.path)
        latency = jobs.latency(model, self.datasets.evaluation(settings), settings, self.device)
        weights = save({key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()})
        write_bytes(folder.path / WEIGHTS_FILE, weights)
        return folder.publish(
            RunRecord(
                run_id=folder.name,
                settings=settings,
                seed=step.seed,
                provenance=self._provenance(settings, start, weights),
                metrics=found.metrics | latency | trained.metrics,
                kept_ratio=found.kept_ratio,
                column_open_ratio=found.column_open_ratio,
                num_images=found.num_images,
                training=trained.training,
            )
        )

    def _model(
        self, step: PlannedStep, start: FinishedRun | None, folder: Path | None, listeners: list[TrainingListener]
    ) -> _Trained:
        """The network of a step, with the weights that it is evaluated with."""
        if is_trained(step.settings):
            return self._train(step, start, folder, listeners)
        assert start is not None
        jobs = TASKS[step.settings.task]
        trained = _taken_over(
            jobs.build(step.settings, self.datasets.training(step.settings).num_classes), start, folder
        )
        distributed.same_weights(trained.model)
        return trained

    def _evaluated(self, step: PlannedStep, trained: _Trained) -> Any:
        """What the network reaches on the step's split, as the task has it."""
        settings, context = step.settings, self.context
        held_out, watch = self.datasets.evaluation(settings), context.reporter.evaluating
        model = trained.model.to(self.device)
        return TASKS[settings.task].evaluate(model, held_out, settings, context.runtime, self.device, watch)

    def _train(
        self, step: PlannedStep, start: FinishedRun | None, folder: Path | None, listeners: list[TrainingListener]
    ) -> _Trained:
        """Train from scratch, from the weights of the run `start`, or on from where an earlier attempt was stopped."""
        settings, runtime, device = step.settings, self.context.runtime, self.device
        jobs, held_out = TASKS[settings.task], self.datasets.evaluation(settings)

        classifier = start if start is not None and start.record.settings.task != settings.task else None
        built = settings if classifier is None else _from_classifier(settings, classifier)

        def make_task() -> TrainingTask:
            return jobs.training(built, runtime, step.seed, self.datasets.training(settings), device)

        def evaluate(model: nn.Module) -> dict[str, float]:
            return of_merit(jobs.evaluate(model, held_out, settings, runtime, device).metrics)

        log = tensorboard = None
        if folder is not None:
            log, tensorboard = EpochLog(folder / EPOCHS_FILE), TensorBoardLog(folder / TENSORBOARD_FOLDER)
            listeners = [log, tensorboard, *listeners]
        trainer = Trainer(
            settings, runtime, step.seed, make_task, device, folder, listeners, self.should_stop, evaluate
        )
        # Other processes get the weights of the main one.
        if start is not None and classifier is None and distributed.is_main():
            load_into(trainer.model, read_weights(start.weights_file), str(start.weights_file))
        try:
            model = trainer.run()
        finally:
            if tensorboard is not None:
                tensorboard.close()
        if log is None:
            return _Trained(model, {}, {})
        last, position = log.last(), trainer.position
        metrics = {
            "images_seen": float(position.images_seen),
            "train_seconds": position.seconds,
            "loss_final": last["loss"],
        }
        return _Trained(model, metrics, {key: value for key, value in last.items() if key != "epoch"})

    def _provenance(self, settings: RunSettings, start: FinishedRun | None, weights: bytes) -> Provenance:
        """Where and from what the run was made."""
        return collect_provenance(
            device=str(self.device),
            threads=torch.get_num_threads(),
            accelerator=torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None,
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            data_manifest_sha256=self.datasets.training(settings).manifest_sha256(),
            evaluation_manifest_sha256=self.datasets.evaluation(settings).manifest_sha256(),
            starts_from=starting_points(settings, start),
            plugins=plugin_versions(settings),
            processes=distributed.size(),
        )


def _from_classifier(settings: RunSettings, classifier: FinishedRun) -> RunSettings:
    """The settings of a network whose backbone starts from the weights of a finished classifier."""
    model = settings.model.model_copy(update={"init_weights": str(classifier.weights_file)})
    return settings.model_copy(update={"model": model})


def _taken_over(model: nn.Module, start: FinishedRun, folder: Path | None) -> _Trained:
    """The network of another run, which is only evaluated in another way; its training is on record here too."""
    if folder is None:
        return _Trained(model, {}, {})
    load_into(model, read_weights(start.weights_file), str(start.weights_file))
    write_bytes(folder / EPOCHS_FILE, start.epochs_file.read_bytes())
    record = start.record
    metrics = {name: record.metrics[name] for name in ("images_seen", "train_seconds", "loss_final")}
    return _Trained(model, metrics, dict(record.training))
