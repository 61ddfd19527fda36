"""Token pruning goes the whole way: baseline, direct, fine-tuned and retrained runs, windows, costs, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dit_bench.cost.counter import counted_macs
from dit_bench.data.segmentation.build import build_segmentation_set
from dit_bench.engine.dtop_build import HalfScale, build_plain_vit_network
from dit_bench.engine.dtop_counting import UNPRUNED, plain_vit_costs
from dit_bench.engine.dtop_views import pruned_pictures
from dit_bench.engine.dtop_windows import cut_windows, merge_windows, window_starts
from dit_bench.engine.jobs import run_all
from dit_bench.engine.optimisation import build_rate
from dit_bench.engine.segmentation_evaluate import evaluate_segmentation
from dit_bench.errors import UsageError
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.weights import read_weights
from dit_bench.recipes.dense_settings import PruningSettings, SegmentationSettings
from dit_bench.recipes.lineage import lineage
from dit_bench.recipes.pretraining import PretrainingSettings
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.image_records import load_image_records
from tests.engine.runs_of import Plan, context_of
from tests.engine.test_segmentation import segmentation_settings

CPU = torch.device("cpu")


def dtop_settings(segmenter: str = "dtop", side_px: int = 64, **pruning: Any) -> RunSettings:
    plain = segmentation_settings("vit_nano_patch8")
    options = {**plain.segmentation.model_dump(), "segmenter": segmenter, "updates": 4, "test_short_side_px": side_px}
    return plain.model_copy(
        update={
            "segmentation": SegmentationSettings(**{**options, "max_long_side_px": side_px}),
            "pruning": PruningSettings(**{"finetune_updates": 3, **pruning}),
        }
    )


def test_runs_grow_out_of_their_baseline(tmp_path: Path, scene_cache: Path) -> None:
    """One command trains the baseline once, fine-tunes its heads, and only evaluates at another threshold."""
    tuned = dtop_settings(mode="finetune", threshold=0.2, train_threshold=0.3)
    direct = dtop_settings(mode="direct", threshold=0.2)
    context = context_of(tmp_path / "runs", scene_cache)
    swept, straight = run_all([Plan(tuned, 0), Plan(direct, 0)], context)
    baseline, finetuned = (context.store.find(settings, 0) for settings in lineage(tuned)[:2])
    assert baseline is not None
    assert finetuned is not None
    weights = {run.path.name: read_weights(run.weights_file) for run in (baseline, finetuned, swept, straight)}
    first = weights[baseline.path.name]
    for name, tensor in weights[finetuned.path.name].items():
        moved = not torch.equal(tensor, first[name])
        assert not (moved and name.startswith("backbone.")), "only the heads are trained on"
    assert any(not torch.equal(tensor, first[name]) for name, tensor in weights[finetuned.path.name].items())
    sha = [run.record.provenance.weights_sha256 for run in (baseline, finetuned, swept, straight)]
    assert sha[0] == sha[3] != sha[1] == sha[2]
    assert [run.record.metrics["images_seen"] for run in (baseline, finetuned, swept, straight)] == [32, 24, 24, 32]
    assert baseline.record.metrics["gmacs_mean"] == pytest.approx(baseline.record.metrics["base_gmacs"])
    assert straight.record.metrics["fvcore_gmacs_without_aux_mean"] < straight.record.metrics["fvcore_gmacs_mean"]
    assert swept.epochs_file.read_bytes() == finetuned.epochs_file.read_bytes()
    again = run_all([Plan(direct, 0)], context)
    assert again[0].path == straight.path
    drawn, names, ends = pruned_pictures(straight, RuntimeSettings(device="cpu", data_dir=str(scene_cache)), [], 2)
    records = load_image_records(straight.path)
    assert (len(names), ends) == (11, (1, 2, 3))
    assert drawn[0].gmacs == pytest.approx(records.macs[0] / 1e9)
    stayed = [(drawn[0].exits >= stage).sum() for stage in (1, 2, 3)]
    assert stayed == records.kept[0, 0].tolist(), "the picture shows the tokens that were counted"


def test_a_baseline_grows_out_of_its_classifier(tmp_path: Path, scene_cache: Path) -> None:
    plain = dtop_settings(mode="direct", threshold=0.2)
    settings = plain.model_copy(
        update={
            "pretraining": PretrainingSettings(epochs=1, train_images=32, batch_size=16, warmup_epochs=0.5, lr=0.01),
            # Too slow to be seen: the network stays what it started from.
            "optimiser": plain.optimiser.model_copy(update={"lr": 1e-12}),
            "segmentation": plain.segmentation.model_copy(update={"min_lr": 0.0}),
        }
    )
    context = context_of(tmp_path / "runs", scene_cache)
    (direct,) = run_all([Plan(settings, 0)], context)
    classifier, baseline = (context.store.find(step, 0) for step in lineage(settings)[:2])
    assert classifier is not None
    assert baseline is not None
    assert classifier.record.metrics["images_seen"] == 32
    assert "top1_percent" in classifier.record.metrics
    learnt, started = read_weights(classifier.weights_file), read_weights(baseline.weights_file)
    shared = [name for name in started if name.removeprefix("backbone.model.") in learnt]
    assert len(shared) > 30
    for name in shared:
        torch.testing.assert_close(started[name], learnt[name.removeprefix("backbone.model.")])
    assert direct.record.provenance.weights_sha256 == baseline.record.provenance.weights_sha256


def test_the_rate_of_fine_tuning_falls_over_its_own_updates() -> None:
    settings = dtop_settings(mode="finetune", finetune_updates=3)
    optimiser = torch.optim.AdamW([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 2.0}])
    schedule = build_rate(optimiser, settings, updates_per_epoch=2)
    rates = []
    for updates in (0, 1, 3):
        schedule.set(0, updates)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([2.0, 2.0 * (2 / 3) ** 0.9, 0.0])


def test_retraining_prunes_from_the_first_step(tmp_path: Path, scene_cache: Path) -> None:
    settings = dtop_settings(mode="retrain", threshold=0.2, train_threshold=0.2, heads=["fcn"])
    assert lineage(settings) == [settings]
    (run,) = run_all([Plan(settings, 0)], context_of(tmp_path / "runs", scene_cache))
    assert run.record.metrics["images_seen"] == 32


@pytest.mark.parametrize("stride_px", [None, 40])
def test_costs_are_what_was_dispatched(stride_px: int | None, scene_cache: Path) -> None:
    """Whole images or windows, mean MACs of an image times its windows are what torch dispatched for it."""
    side_px = 64 if stride_px is None else 96
    settings = dtop_settings(side_px=side_px, mode="direct", threshold=0.2, slide_stride_px=stride_px)
    dataset = build_segmentation_set(settings.data, settings.segmentation, "val", cache_dir=scene_cache)
    torch.manual_seed(0)
    network = build_plain_vit_network(settings, dataset.num_classes).eval()
    found: list[Any] = []

    def evaluate() -> None:
        found.append(evaluate_segmentation(network, dataset, settings, RuntimeSettings(), CPU))

    dispatched = counted_macs(evaluate)
    windows = 1 if stride_px is None else 4
    assert found[0].metrics["windows_per_image"] == windows
    assert found[0].records.macs.sum() * windows == pytest.approx(dispatched, abs=windows * len(dataset))
    assert found[0].records.kept[:, 0, 0].tolist() == [64 * windows] * len(dataset)
    assert found[0].records.kept[:, 0, 2].sum() < 64 * windows * len(dataset), "tokens left"
    one = evaluate_segmentation(network, dataset, settings, RuntimeSettings(eval_batch_size=1), CPU)
    assert np.abs(one.counts.confusion - found[0].counts.confusion).sum() <= 4


def test_windows_cover_the_image_and_average() -> None:
    assert window_starts(100, 40, 30) == [0, 30, 60]
    assert window_starts(101, 40, 30) == [0, 30, 60, 61]
    assert window_starts(40, 40, 30) == [0]
    image = torch.rand(3, 70, 100)
    windows, corners = cut_windows(image, 40, 30)
    assert corners == [(0, 0), (0, 30), (0, 60), (30, 0), (30, 30), (30, 60)]
    torch.testing.assert_close(merge_windows(windows, corners, 40, (70, 100)), image)


def test_pixels_come_at_the_scale_that_the_weights_expect() -> None:
    """White is 1 and black −1, whatever ImageNet's mean and deviation made of them."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for value, expected in ((1.0, 1.0), (0.0, -1.0), (0.5, 0.0)):
        normalised = ((value - mean) / deviation).view(1, 3, 1, 1)
        torch.testing.assert_close(HalfScale()(normalised).flatten(), torch.full((3,), expected), atol=1e-6, rtol=0)


def test_counting_without_data() -> None:
    baseline = plain_vit_costs(dtop_settings(), (64, 64), 11)
    pruned = plain_vit_costs(dtop_settings(mode="direct"), (64, 64), 11)
    assert baseline.macs["matmul"] == pruned.paths[UNPRUNED]
    assert not pruned.macs
    assert {"mmcv", "fvcore"} <= set(baseline.macs)
    with pytest.raises(UsageError, match="cannot take an input of 60x64"):
        plain_vit_costs(dtop_settings(), (60, 64), 11)


@pytest.mark.parametrize(
    ("pruning", "said"),
    [
        ({"stage_ends": [1, 2]}, r"pruning: the last stage must end after layer 3"),
        ({"heads": ["atm", "fcn"]}, r"3 stages need as many heads"),
        ({"slide_stride_px": 80}, r"slide_stride_px=80 is larger than segmentation.crop_px=64"),
    ],
)
def test_what_does_not_fit_together_is_refused(pruning: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build_plain_vit_network(dtop_settings(**pruning), 11)


def test_a_pyramid_is_no_plain_vit() -> None:
    settings = dtop_settings()
    wrong = settings.model_copy(update={"model": settings.model.model_copy(update={"name": "pvt_v2_nano"})})
    with pytest.raises(UsageError, match="pvt_v2_nano is not a plain vision transformer"):
        build_plain_vit_network(wrong, 11)


def test_segvit_goes_the_whole_way(tmp_path: Path, scene_cache: Path) -> None:
    settings = dtop_settings("segvit")
    (run,) = run_all([Plan(settings, 0)], context_of(tmp_path / "runs", scene_cache))
    network = build_plain_vit_network(settings, 11)
    assert not isinstance(network, DTopNetwork)
    assert run.record.metrics["gmacs_sd"] == 0
