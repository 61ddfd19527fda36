"""From planned runs to finished ones: train, evaluate, time and publish each, or find it already done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import timm
import torch
from safetensors.torch import save
from torch import nn

from dit_bench.data.loading import Dataset, Split, build_dataset, check_augment, evaluation_batches
from dit_bench.engine.build import build_model, size_of
from dit_bench.engine.devices import prepare
from dit_bench.engine.evaluate import Evaluation, evaluate, measure_latency
from dit_bench.engine.interrupt import stop_requests
from dit_bench.engine.logs import EpochLog, TensorBoardLog
from dit_bench.engine.train import Trainer, TrainingListener
from dit_bench.errors import WeightsError
from dit_bench.models.dit.weights import load_into, read_safetensors
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.atomic import write_bytes
from dit_bench.runs.image_records import ImageRecords, save_image_records
from dit_bench.runs.provenance import collect_provenance
from dit_bench.runs.read import EPOCHS_FILE, TENSORBOARD_FOLDER, WEIGHTS_FILE, FinishedRun
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore

LATENCY_IMAGES = 8


class JobReporter(Protocol):
    """Who watches a sequence of runs; also gives the listener of each training."""

    def run_found(self, run: FinishedRun) -> None:
        """A finished run is used as it is."""
        ...

    def run_started(self, name: str, number: int, total: int) -> TrainingListener:
        """Run `number` of `total` starts; returns who watches its training."""
        ...

    def evaluating(self, done: int, total: int) -> None:
        """So many images of so many are evaluated."""
        ...

    def run_finished(self, run: FinishedRun) -> None:
        """A run is complete and stored."""
        ...

    def stop_requested(self) -> None:
        """The user asked to stop; the current step is being finished."""
        ...


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


@dataclass(frozen=True)
class JobContext:
    """What all runs of one command share."""

    store: RunStore
    runtime: RuntimeSettings
    reporter: JobReporter
    force: bool = False

    @property
    def cache_dir(self) -> Path | None:
        """Folder of the cached scenes; None is the default one."""
        return None if self.runtime.data_dir is None else Path(self.runtime.data_dir)


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
        size_of(plan.settings.model.name)
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
        trainer = Trainer(settings, context.runtime, seed, train, device, folder.path, listeners, should_stop)
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


def evaluate_weights(
    settings: RunSettings, weights: Path, split: Split, context: JobContext
) -> tuple[Evaluation, dict[str, float]]:
    """Score weights from a file with the network of the settings: evaluation and measured latency.

    Raises WeightsError if the file is missing, damaged or of another architecture.
    """
    if weights.suffix != ".safetensors":
        raise WeightsError(
            f"{weights}: not a .safetensors file", remedy="other formats can execute code and are not read"
        )
    device = prepare(context.runtime)
    tensors = read_safetensors(weights)
    dataset = build_dataset(settings.data, split, context.cache_dir)
    model = build_model(settings, dataset.num_classes)
    load_into(model, tensors, str(weights))
    evaluation = evaluate(model, dataset, settings, context.runtime, device, context.reporter.evaluating)
    return evaluation, latency_metrics(model, dataset, settings, device)


def latency_metrics(
    model: nn.Module, dataset: Dataset, settings: RunSettings, device: torch.device
) -> dict[str, float]:
    """Time per image of the network and of PVTv2 of its size, on the first images of the data set."""
    size = size_of(settings.model.name)
    base = timm.create_model(f"pvt_v2_{size}", num_classes=dataset.num_classes)
    _, images, _ = next(iter(evaluation_batches(dataset, settings.data, batch_size=min(LATENCY_IMAGES, len(dataset)))))
    return measure_latency(model, base, images, settings, device)
