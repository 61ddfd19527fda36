"""From planned runs to finished ones: train, evaluate, time and publish each, or find it already done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from safetensors.torch import save

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
from dit_bench.engine.task_jobs import TaskJobs
from dit_bench.engine.train import Trainer, TrainingListener
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
    loaded: dict[tuple[str, str, str, bool], Any] = field(default_factory=dict)

    def training(self, settings: RunSettings) -> Any:
        return self._get(settings, "train", training=True)

    def evaluation(self, settings: RunSettings) -> Any:
        return self._get(settings, settings.data.eval_split, training=False)

    def _get(self, settings: RunSettings, split: Split, *, training: bool) -> Any:
        key = (settings.task, settings.data.model_dump_json(), split, training)
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
    open_plans = [plan for plan in plans if context.force or context.store.find(plan.settings, plan.seed) is None]
    device = prepare(context.runtime)
    datasets = _Datasets(context)
    for plan in open_plans:
        check_model_name(plan.settings.model.name)
        TASKS[plan.settings.task].check(plan.settings)
    for settings in {plan.settings.model_dump_json(): plan.settings for plan in open_plans}.values():
        train = datasets.training(settings)
        check_same_classes(train, datasets.evaluation(settings), settings)
        TASKS[settings.task].build(settings, train)
    finished: list[FinishedRun] = []
    with stop_requests(context.reporter.stop_requested) as should_stop:
        for number, plan in enumerate(plans, start=1):
            done = None if context.force else context.store.find(plan.settings, plan.seed)
            if done is not None:
                context.reporter.run_found(done)
            else:
                done = _run(plan, number, len(plans), context, datasets, device, should_stop)
                context.reporter.run_finished(done)
            finished.append(done)
    return finished


def _run(
    plan: PlannedRun,
    number: int,
    total: int,
    context: JobContext,
    datasets: _Datasets,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> FinishedRun:
    settings, seed = plan.settings, plan.seed
    jobs: TaskJobs = TASKS[settings.task]
    with context.store.begin(settings, seed, force=context.force) as folder:
        train, held_out = datasets.training(settings), datasets.evaluation(settings)
        name = folder.path.name.removesuffix(".partial")
        log, tensorboard = EpochLog(folder.path / EPOCHS_FILE), TensorBoardLog(folder.path / TENSORBOARD_FOLDER)
        listeners: list[TrainingListener] = [log, tensorboard, context.reporter.run_started(name, number, total)]
        make_task = partial(jobs.training, settings, context.runtime, seed, train, device)
        trainer = Trainer(settings, context.runtime, seed, make_task, device, folder.path, listeners, should_stop)
        trainer.evaluate = partial(
            jobs.figures, dataset=held_out, settings=settings, runtime=context.runtime, device=device
        )
        try:
            model = trainer.run()
        finally:
            tensorboard.close()
        on_batch = context.reporter.evaluating
        outcome = jobs.finish(model, held_out, settings, context.runtime, device, on_batch, folder.path)
        metrics = dict(outcome.metrics)
        metrics |= {"images_seen": float(trainer.position.images_seen), "train_seconds": trainer.position.seconds}
        weights = save({key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()})
        write_bytes(folder.path / WEIGHTS_FILE, weights)
        last = log.last()
        metrics["loss_final"] = last["loss"]
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
                metrics=metrics,
                kept_ratio=outcome.kept_ratio,
                column_open_ratio=outcome.column_open_ratio,
                num_images=outcome.num_images,
                training={key: value for key, value in last.items() if key != "epoch"},
            )
        )
