"""Segmentation goes the whole way: trained, stopped and picked up, evaluated, counted, stored, scored from weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dit_bench.cost.census import take_census
from dit_bench.data.segmentation.build import build_segmentation_set
from dit_bench.engine.dense_scoring import score_dense
from dit_bench.engine.jobs import run_all
from dit_bench.engine.optimisation import build_optimiser, build_rate
from dit_bench.engine.segmentation_build import build_segmentation_network
from dit_bench.engine.segmentation_evaluate import evaluate_segmentation
from dit_bench.engine.segmentation_jobs import SegmentationJobs
from dit_bench.engine.segmentation_views import segmented_pictures
from dit_bench.errors import DataError, InterruptedRunError, UsageError
from dit_bench.recipes.dense_settings import SegmentationSettings
from dit_bench.recipes.settings import (
    AugmentSettings,
    DataSettings,
    ModelSettings,
    OptimiserSettings,
    RoutingSettings,
    RunSettings,
    RuntimeSettings,
)
from dit_bench.runs.confusion import load_confusion
from dit_bench.runs.epochs import load_epochs
from dit_bench.runs.image_records import load_image_records
from tests.engine.runs_of import Plan, context_of

CPU = torch.device("cpu")


def segmentation_settings(model: str = "dit_nano", **changes: Any) -> RunSettings:
    options: dict[str, Any] = {
        "width_divisor": 8,
        "zero_label": "class",
        "short_side_px": 64,
        "max_long_side_px": 64,
        "crop_px": 64,
        "max_class_share": 1.0,
        "photometric_distortion": False,
        "test_short_side_px": 64,
        "updates": 5,
    }
    return RunSettings(
        task="segmentation",
        model=ModelSettings(name=model),
        routing=RoutingSettings(
            variant="dynamic" if model.startswith("dit_") else "diagonal", open_fraction=0.2, noise_end_fraction=0.5
        ),
        data=DataSettings(train_images=16, tune_images=8, val_images=4, min_scale=0.35, clutter=0),
        optimiser=OptimiserSettings(epochs=2, batch_size=8, warmup_epochs=0.0),
        segmentation=SegmentationSettings(**{**options, **changes}),
    )


def test_a_run_holds_figures_counts_and_routes(tmp_path: Path, scene_cache: Path) -> None:
    """The figures follow from the stored counts, and a file of weights reaches the same."""
    context, settings = context_of(tmp_path / "runs", scene_cache), segmentation_settings()
    (run,) = run_all([Plan(settings, 0)], context)
    metrics = run.record.metrics
    counts, records = load_confusion(run.path), load_image_records(run.path)
    union = counts.truth.sum(0) + counts.predicted.sum(0) - counts.intersection.sum(0)
    present = union > 0
    iou = counts.intersection.sum(0)[present] / union[present]
    assert metrics["miou_percent"] == pytest.approx(100 * iou.mean())
    assert metrics["miou_all_classes_percent"] == pytest.approx(100 * iou.sum() / 11)
    assert metrics["pixel_accuracy_percent"] == pytest.approx(100 * counts.correct.sum() / (4 * 64 * 64))
    assert records.kept.shape == (4, 4, 4)
    assert metrics["gmacs_mean"] == pytest.approx(records.macs.mean() / 1e9)
    assert {"latency_ms_per_image", "base_latency_ms_per_image", "loss_final"} <= set(metrics)
    assert metrics["images_seen"] == 5 * 8
    scored = score_dense(settings, run.weights_file, "val", context)
    same = {name: value for name, value in scored.evaluation.metrics.items() if name != "eval_seconds"}
    assert same == {name: metrics[name] for name in same}
    drawn, names = segmented_pictures(run, RuntimeSettings(device="cpu", data_dir=str(scene_cache)), [], 2)
    assert len(names) == 11
    first = drawn[0]
    assert first.true_labels is not None
    right = int((first.labels == first.true_labels).sum())
    assert right == counts.correct[0], "the picture shows what was counted"
    assert first.gmacs == pytest.approx(records.macs[0] / 1e9)
    assert first.kept[0, 0].sum() == records.kept[0, 0, 0]


def test_stopped_training_ends_in_the_same_bits(tmp_path: Path, scene_cache: Path, monkeypatch: Any) -> None:
    """Two batches an epoch, five updates: stopped in the middle of the second epoch, and again in the cut last one."""
    from dit_bench.engine import jobs

    settings, stores = segmentation_settings(), [tmp_path / "whole", tmp_path / "stopped"]
    (whole,) = run_all([Plan(settings, 3)], context_of(stores[0], scene_cache))
    assert len(whole.epochs_file.read_text().splitlines()) == 3
    trained: Any = jobs.Trainer
    for wishes in ([False, False, False, True], [False, True]):
        asked = iter(wishes)
        with monkeypatch.context() as patch:
            patch.setattr(
                jobs,
                "Trainer",
                lambda *arguments, asked=asked: trained(*arguments[:-2], lambda: next(asked), arguments[-1]),
            )
            with pytest.raises(InterruptedRunError):
                run_all([Plan(settings, 3)], context_of(stores[1], scene_cache))
    (resumed,) = run_all([Plan(settings, 3)], context_of(stores[1], scene_cache))
    assert resumed.record.provenance.weights_sha256 == whole.record.provenance.weights_sha256
    assert resumed.record.metrics["images_seen"] == whole.record.metrics["images_seen"] == 40


def test_rows_that_read_labels_differently_do_not_share_a_data_set(tmp_path: Path, scene_cache: Path) -> None:
    """One command with the background as a class and without it: eleven classes and ten."""
    plans = [Plan(segmentation_settings("pvt_v2_nano", zero_label=zero), 0) for zero in ("class", "ignore")]
    runs = run_all(plans, context_of(tmp_path / "runs", scene_cache))
    assert [len(load_confusion(run.path).confusion) for run in runs] == [11, 10]


def test_figures_between_epochs_change_nothing_else(tmp_path: Path, scene_cache: Path) -> None:
    """Two batches an epoch, five updates: figures after the second of three epochs, and the same weights."""
    settings = segmentation_settings()
    (plain,) = run_all([Plan(settings, 1)], context_of(tmp_path / "plain", scene_cache))
    (watched,) = run_all([Plan(settings, 1)], context_of(tmp_path / "watched", scene_cache, evaluate_every_epochs=2))
    assert watched.record.provenance.weights_sha256 == plain.record.provenance.weights_sha256
    named = [{"miou_percent", "gmacs_mean"} <= set(epoch) for epoch in load_epochs(watched)]
    assert named == [False, True, False]
    assert not any("miou_percent" in epoch for epoch in load_epochs(plain))


def network_and_set(settings: RunSettings, scene_cache: Path) -> tuple[Any, Any]:
    dataset = build_segmentation_set(settings.data, settings.segmentation, "val", cache_dir=scene_cache)
    torch.manual_seed(0)
    return build_segmentation_network(settings, dataset.num_classes).eval(), dataset


def test_nothing_depends_on_the_batch(scene_cache: Path) -> None:
    settings = segmentation_settings()
    network, dataset = network_and_set(settings, scene_cache)
    one, many = (
        evaluate_segmentation(network, dataset, settings, RuntimeSettings(eval_batch_size=size), CPU) for size in (1, 3)
    )
    assert (one.records.macs == many.records.macs).all()
    # Last digits of logits may differ, and with them a pixel at a border.
    assert np.abs(one.counts.confusion - many.counts.confusion).sum() <= 4


@pytest.mark.parametrize("model", ["pvt_v2_nano", "dit_nano", "resnet18"])
def test_costs_are_those_of_backbone_and_segmenter(model: str, scene_cache: Path) -> None:
    settings = segmentation_settings(model)
    network, dataset = network_and_set(settings, scene_cache)
    found = evaluate_segmentation(network, dataset, settings, RuntimeSettings(), CPU)
    plain, _ = network_and_set(segmentation_settings("pvt_v2_nano" if model == "dit_nano" else model), scene_cache)
    census = take_census(plain.to("meta"), torch.zeros(1, 3, 64, 64, device="meta"))
    if network.routed is None:
        assert set(found.records.macs.tolist()) == {census.macs}
    if model != "resnet18":
        assert found.metrics["base_gmacs"] == pytest.approx(census.macs / 1e9)


def test_a_dilated_backbone_goes_the_whole_way(scene_cache: Path) -> None:
    settings = segmentation_settings("resnet18", segmenter="deeplabv3_plus", output_stride=8)
    network, dataset = network_and_set(settings, scene_cache)
    found = evaluate_segmentation(network, dataset, settings, RuntimeSettings(), CPU)
    census = take_census(network.to("meta"), torch.zeros(1, 3, 64, 64, device="meta"))
    assert set(found.records.macs.tolist()) == {census.macs}


def test_the_rate_rises_and_falls_as_a_power() -> None:
    settings = segmentation_settings(updates=10, warmup_updates=2, poly_power=2.0, min_lr=0.5)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([{"params": [parameter], "lr": 2.5}])
    schedule = build_rate(optimiser, settings, updates_per_epoch=4)
    rates = []
    for updates in (0, 1, 5, 10):
        schedule.set(0, updates)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([2.5 / 2, 2 * 0.81 + 0.5, 2 * 0.25 + 0.5, 0.5])


def test_groups_of_parameters_follow_the_settings() -> None:
    settings = segmentation_settings("pvt_v2_nano", no_decay="norms", backbone_lr_scale=0.1)
    network = build_segmentation_network(settings, 5)
    groups = build_optimiser(network, settings).param_groups
    found = {id(parameter): (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    lr, decay = settings.optimiser.lr, settings.optimiser.weight_decay
    for name, parameter in network.named_parameters():
        scale = 0.1 if name.startswith("backbone.") else 1.0
        assert found[id(parameter)] == pytest.approx((lr * scale, 0.0 if "norm" in name else decay)), name


def test_a_split_without_a_label_is_refused(scene_cache: Path) -> None:
    settings = segmentation_settings("pvt_v2_nano")
    network, dataset = network_and_set(settings, scene_cache)

    class Unlabelled:
        def __getattr__(self, name: str) -> Any:
            return getattr(dataset, name)

        def __len__(self) -> int:
            return len(dataset)

        def labels(self, index: int) -> np.ndarray:
            return np.full_like(dataset.labels(index), 255)

    unlabelled: Any = Unlabelled()
    with pytest.raises(DataError, match="no pixel of the split has a label"):
        evaluate_segmentation(network, unlabelled, settings, RuntimeSettings(), CPU)


@pytest.mark.parametrize(
    ("augment", "said"),
    [({"mixup_alpha": 0.8}, "mixup_alpha=0.8 is for classification"), ({"hflip_prob": 0.5}, "a mirrored digit")],
)
def test_augmentation_of_other_tasks_is_refused(augment: dict[str, Any], said: str) -> None:
    settings = segmentation_settings().model_copy(update={"augment": AugmentSettings(**augment)})
    with pytest.raises(UsageError, match=said):
        SegmentationJobs().check(settings)
