"""From planned runs to finished ones: train, evaluate, time and publish each, or find it already done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from safetensors.torch import save

from dit_bench.data.loading import Dataset, Split, build_dataset, check_augment
from dit_bench.engine.build import build_model, check_model_name
from dit_bench.engine.classification_task import ClassificationTraining
from dit_bench.engine.context import JobContext
from dit_bench.engine.devices import prepare
from dit_bench.engine.evaluate import evaluate
from dit_bench.engine.interrupt import stop_requests
from dit_bench.engine.latency import latency_metrics
from dit_bench.engine.logs import EpochLog, TensorBoardLog
from dit_bench.engine.train import Trainer, TrainingListener
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.atomic import write_bytes
from dit_bench.runs.image_records import ImageRecords, save_image_records
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


@dataclass
class _Datasets:
    """Data sets of one command, each loaded once."""

    context: JobContext
    loaded: dict[tuple[str, str], Dataset] = field(default_factory=dict)

    def get(self, settings: RunSettings, split: Split) -> Dataset:
        key = (settings.data.model_dump_json(), split)
        if key not in self.loaded:
            self.loaded[key] = build_dataset(settings.data, split, self.context.cache_dir)
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
        check_augment(plan.settings.data, plan.settings.augment)
    for settings in {plan.settings.model_dump_json(): plan.settings for plan in open_plans}.values():
        build_model(settings, datasets.get(settings, "train").num_classes)
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
    with context.store.begin(settings, seed, force=context.force) as folder:
        train, held_out = datasets.get(settings, "train"), datasets.get(settings, settings.data.eval_split)
        name = folder.path.name.removesuffix(".partial")
        log, tensorboard = EpochLog(folder.path / EPOCHS_FILE), TensorBoardLog(folder.path / TENSORBOARD_FOLDER)
        listeners: list[TrainingListener] = [log, tensorboard, context.reporter.run_started(name, number, total)]
        make_task = partial(ClassificationTraining, settings, context.runtime, seed, train, device)
        trainer = Trainer(settings, context.runtime, seed, make_task, device, folder.path, listeners, should_stop)
        try:
            model = trainer.run()
        finally:
            tensorboard.close()
        evaluation = evaluate(model, held_out, settings, context.runtime, device, context.reporter.evaluating)
        metrics = evaluation.metrics | latency_metrics(model, held_out, settings, device)
        metrics |= {"images_seen": float(trainer.position.images_seen), "train_seconds": trainer.position.seconds}
        weights = save({key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()})
        write_bytes(folder.path / WEIGHTS_FILE, weights)
        save_image_records(folder.path, ImageRecords(**evaluation.records))
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
                kept_ratio=evaluation.kept_ratio,
                column_open_ratio=evaluation.column_open_ratio,
                num_images=evaluation.num_images,
                training={key: value for key, value in last.items() if key != "epoch"},
            )
        )
