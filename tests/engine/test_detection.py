"""Detection goes the whole way: trained, stopped and picked up, evaluated, counted, stored, scored from its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dit_bench.cost.census import take_census
from dit_bench.data.coco.build import build_detection_set
from dit_bench.engine.dense_scoring import score_dense
from dit_bench.engine.detection_build import build_detection_network
from dit_bench.engine.detection_evaluate import evaluate_detector
from dit_bench.engine.detection_jobs import DetectionJobs
from dit_bench.engine.jobs import run_all
from dit_bench.engine.optimisation import build_optimiser, build_rate
from dit_bench.errors import InterruptedRunError, UsageError, WeightsError
from dit_bench.recipes.dense_settings import DetectionSettings
from dit_bench.recipes.settings import (
    AugmentSettings,
    DataSettings,
    ModelSettings,
    OptimiserSettings,
    RoutingSettings,
    RunSettings,
    RuntimeSettings,
)
from dit_bench.runs.detections import load_detections
from dit_bench.runs.image_records import load_image_records
from tests.engine.runs_of import Plan, context_of

CPU = torch.device("cpu")


def detection_settings(model: str = "dit_nano", detector: Any = "retinanet", **changes: Any) -> RunSettings:
    return RunSettings(
        task="detection",
        model=ModelSettings(name=model),
        routing=RoutingSettings(
            variant="dynamic" if model.startswith("dit_") else "diagonal", open_fraction=0.2, noise_end_fraction=0.5
        ),
        data=DataSettings(train_images=16, tune_images=8, val_images=4, min_scale=0.35, clutter=0),
        optimiser=OptimiserSettings(epochs=2, batch_size=8, warmup_epochs=0.0),
        detection=DetectionSettings(
            detector=detector,
            width_divisor=8,
            regions_per_image=16,
            short_sides_px=[64],
            test_short_side_px=64,
            max_long_side_px=64,
            warmup_updates=2,
            **changes,
        ),
    )


@pytest.mark.parametrize("detector", ["retinanet", "mask_rcnn"])
def test_a_run_holds_figures_detections_and_routes(detector: str, tmp_path: Path, scene_cache: Path) -> None:
    context = context_of(tmp_path / "runs", scene_cache)
    settings = detection_settings(detector=detector)
    (run,) = run_all([Plan(settings, 0)], context)
    metrics = run.record.metrics
    assert 0 <= metrics["box_ap_percent"] <= metrics["box_ap50_percent"] <= 100
    assert ("mask_ap_percent" in metrics) == (detector == "mask_rcnn")
    assert 0 < metrics["gmacs_mean"] < 1.2 * metrics["base_gmacs"]
    assert {"latency_ms_per_image", "base_latency_ms_per_image", "loss_final"} <= set(metrics)
    records, detections = load_image_records(run.path), load_detections(run.path)
    assert records.label is None
    assert records.kept.shape == (4, 4, 4)
    assert metrics["gmacs_mean"] == pytest.approx(records.macs.mean() / 1e9)
    assert len(set(detections.images.tolist())) == len(detections.images) == 4
    assert (detections.mask_counts is not None) == (detector == "mask_rcnn")
    scored = score_dense(settings, run.weights_file, "val", context)
    same = {name: value for name, value in scored.evaluation.metrics.items() if name != "eval_seconds"}
    assert same == {name: metrics[name] for name in same}
    (again,) = run_all([Plan(settings, 0)], context)
    assert again.path == run.path


def test_stopped_training_ends_in_the_same_bits(tmp_path: Path, scene_cache: Path, monkeypatch: Any) -> None:
    from dit_bench.engine import jobs

    # The rate falls after the stop: a schedule must not hold on to the groups that the saved state replaces.
    settings = detection_settings(milestone_epochs=[1])
    stores = [tmp_path / "whole", tmp_path / "stopped"]
    (whole,) = run_all([Plan(settings, 3)], context_of(stores[0], scene_cache))
    trained: Any = jobs.Trainer
    asked = iter([False, False, True])
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "Trainer", lambda *arguments: trained(*arguments[:-2], lambda: next(asked), arguments[-1]))
        with pytest.raises(InterruptedRunError):
            run_all([Plan(settings, 3)], context_of(stores[1], scene_cache))
    (resumed,) = run_all([Plan(settings, 3)], context_of(stores[1], scene_cache))
    assert resumed.record.provenance.weights_sha256 == whole.record.provenance.weights_sha256


def network_and_set(settings: RunSettings, scene_cache: Path) -> tuple[Any, Any]:
    dataset = build_detection_set(settings.data, "val", training=False, cache_dir=scene_cache)
    torch.manual_seed(0)
    return build_detection_network(settings, dataset.num_classes).eval(), dataset


def test_nothing_depends_on_the_batch(scene_cache: Path) -> None:
    settings = detection_settings()
    network, dataset = network_and_set(settings, scene_cache)
    one, many = (
        evaluate_detector(network, dataset, settings, RuntimeSettings(eval_batch_size=size), CPU) for size in (1, 7)
    )
    assert (one.records.macs == many.records.macs).all()
    for first, second in zip(one.results, many.results, strict=True):
        assert first.image_id == second.image_id
        np.testing.assert_allclose(first.scores[:5], second.scores[:5], atol=1e-5)


@pytest.mark.parametrize("model", ["pvt_v2_nano", "dit_nano", "resnet18"])
def test_costs_are_those_of_backbone_and_detector(model: str, scene_cache: Path) -> None:
    """A static network costs what a census of all of it says; a DiT between its cheapest and its fullest path."""
    settings = detection_settings(model)
    network, dataset = network_and_set(settings, scene_cache)
    found = evaluate_detector(network, dataset, settings, RuntimeSettings(), CPU)
    if network.routed is None:
        census = take_census(network.to("meta"), torch.zeros(1, 3, 64, 64, device="meta"))
        assert set(found.records.macs.tolist()) == {census.macs}
        assert (found.metrics.get("base_gmacs") == pytest.approx(census.macs / 1e9)) == (model == "pvt_v2_nano")
    else:
        plain, _ = network_and_set(detection_settings("pvt_v2_nano"), scene_cache)
        census = take_census(plain.to("meta"), torch.zeros(1, 3, 64, 64, device="meta"))
        assert found.metrics["base_gmacs"] == pytest.approx(census.macs / 1e9)


def test_a_backbone_starts_from_a_classifier(tmp_path: Path) -> None:
    classifier: Any = timm.create_model("pvt_v2_nano", num_classes=7)
    file = tmp_path / "classifier.safetensors"
    save_file(classifier.state_dict(), file)
    for name in ("pvt_v2_nano", "dit_nano"):
        settings = detection_settings(name)
        started = settings.model_copy(update={"model": ModelSettings(name=name, init_weights=str(file))})
        backbone = build_detection_network(started, 5).backbone.model
        assert torch.equal(backbone.state_dict()["patch_embed.proj.weight"], classifier.patch_embed.proj.weight)
    wrong = settings.model_copy(update={"model": ModelSettings(name="pvt_v2_mini", init_weights=str(file))})
    with pytest.raises(WeightsError, match="another architecture"):
        build_detection_network(wrong.model_copy(update={"routing": RoutingSettings(variant="diagonal")}), 5)


def test_the_rate_warms_up_and_falls_in_steps() -> None:
    settings = detection_settings(milestone_epochs=[2, 3], warmup_factor=0.1, decay_factor=0.5)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([{"params": [parameter], "lr": 2.0}])
    schedule = build_rate(optimiser, settings, updates_per_epoch=2)
    rates = []
    for epoch, updates in [(0, 0), (0, 1), (1, 2), (2, 4), (3, 6)]:
        schedule.set(epoch, updates)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.2, 1.1, 2.0, 1.0, 0.5])


def test_groups_of_parameters_follow_the_settings() -> None:
    settings = detection_settings("dit_nano", no_decay="norms", backbone_lr_scale=0.1)
    network = build_detection_network(settings, 5)
    groups = build_optimiser(network, settings).param_groups
    found = {id(parameter): (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    assert len(found) == len(list(network.parameters()))
    lr, decay = settings.optimiser.lr, settings.optimiser.weight_decay
    for name, parameter in network.named_parameters():
        scale = 0.1 if name.startswith("backbone.") else 1.0
        plain = "norm" in name or ".gates." in name or name.endswith("entry_scale")
        assert found[id(parameter)] == pytest.approx((lr * scale, 0.0 if plain else decay)), name


def test_frozen_parameters_are_in_no_group() -> None:
    settings = detection_settings("resnet18", frozen_stages=1)
    network = build_detection_network(settings, 5)
    count = sum(len(group["params"]) for group in build_optimiser(network, settings).param_groups)
    assert count == sum(parameter.requires_grad for parameter in network.parameters()) < len(list(network.parameters()))


@pytest.mark.parametrize(
    ("augment", "said"),
    [({"mixup_alpha": 0.8}, "mixup_alpha=0.8 is for classification"), ({"hflip_prob": 0.5}, "a mirrored digit")],
)
def test_augmentation_of_other_tasks_is_refused(augment: dict[str, Any], said: str) -> None:
    settings = detection_settings().model_copy(update={"augment": AugmentSettings(**augment)})
    with pytest.raises(UsageError, match=said):
        DetectionJobs().check(settings)
