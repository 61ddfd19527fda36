"""Evaluation: each image once, the same figures for any batch size, weights that are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dit_bench.cost.counter import counted_macs
from dit_bench.data.loading import build_dataset, evaluation_batches
from dit_bench.engine.build import build_model, size_of
from dit_bench.engine.counting import static_costs
from dit_bench.engine.evaluate import evaluate, measure_latency
from dit_bench.errors import UsageError
from dit_bench.models.dit.model import DiT
from dit_bench.recipes.settings import ModelSettings, RoutingSettings, RunSettings, RuntimeSettings

CPU = torch.device("cpu")


@pytest.fixture
def routed_model(settings: RunSettings) -> DiT:
    torch.manual_seed(0)
    model = build_model(settings, 10)
    assert isinstance(model, DiT)
    for gate in model.gates():
        torch.nn.init.normal_(gate.projection.weight, std=0.5)
        torch.nn.init.zeros_(gate.projection.bias)
        gate.copy_to_ema()
    return model


def test_records_do_not_depend_on_batch_size_or_execution(routed_model, settings, scene_cache) -> None:
    dataset = build_dataset(settings.data, "val", scene_cache)
    found = []
    for batch_size, execution in ((30, "packed"), (7, "packed"), (1, "packed"), (30, "masked")):
        routed_model.execution = execution
        found.append(evaluate(routed_model, dataset, settings, RuntimeSettings(eval_batch_size=batch_size), CPU))
    for other in found[1:]:
        for name, values in found[0].records.items():
            assert np.array_equal(values, other.records[name]), name
    assert len(set(found[0].records["macs"].tolist())) > 1


def test_macs_on_record_are_what_each_image_executes(routed_model, settings, scene_cache) -> None:
    dataset = build_dataset(settings.data, "val", scene_cache)
    records = evaluate(routed_model, dataset, settings, RuntimeSettings(), CPU).records
    for index, image, _ in evaluation_batches(dataset, settings.data, batch_size=1):
        if int(index) < 6:
            assert counted_macs(lambda image=image: routed_model(image)) == records["macs"][int(index)]


def test_metrics_are_recounted_from_the_records(routed_model, settings, scene_cache) -> None:
    dataset = build_dataset(settings.data, "val", scene_cache)
    evaluation = evaluate(routed_model, dataset, settings, RuntimeSettings(), CPU)
    records, metrics = evaluation.records, evaluation.metrics
    hits = [p == t for p, t in zip(records["prediction"].tolist(), records["label"].tolist(), strict=True)]
    assert metrics["top1_percent"] == pytest.approx(100 * sum(hits) / 30)
    assert metrics["gmacs_mean"] == pytest.approx(sum(records["macs"].tolist()) / 30 / 1e9)
    kept = records["kept"][:, 2, 1].sum() / (30 * records["tokens"][2])
    assert evaluation.kept_ratio[2][1] == pytest.approx(kept)


def test_plain_pvt_is_counted_as_the_diagonal(scene_cache, settings) -> None:
    plain = settings.model_copy(
        update={"model": ModelSettings(name="pvt_v2_nano"), "routing": RoutingSettings(variant="diagonal")}
    )
    model = build_model(plain, 10)
    dataset = build_dataset(plain.data, "val", scene_cache)
    metrics = evaluate(model, dataset, plain, RuntimeSettings(), CPU).metrics
    counted = counted_macs(lambda: model(torch.zeros(1, 3, 64, 64)))
    assert metrics["gmacs_mean"] * 1e9 == pytest.approx(counted)
    assert metrics["gmacs_sd"] == 0.0


def test_latency_is_measured_for_both(routed_model, settings) -> None:
    base = build_model(settings, 10)
    found = measure_latency(routed_model, base, torch.randn(2, 3, 64, 64), settings, CPU, rounds=2)
    assert found["latency_ms_per_image"] > 0
    assert found["base_latency_ms_per_image"] > 0


@pytest.mark.parametrize("name", ["dit_b6", "resnet"])
def test_unknown_models_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        size_of(name)


def test_gates_for_a_plain_pvt_are_refused(settings) -> None:
    with pytest.raises(UsageError, match="has no gates"):
        build_model(settings.model_copy(update={"model": ModelSettings(name="pvt_v2_nano")}), 10)


def test_training_can_start_from_pvt_weights(settings, tmp_path: Path) -> None:
    plain = RunSettings(model=ModelSettings(name="pvt_v2_nano"), routing=RoutingSettings(variant="diagonal"))
    pvt = build_model(plain, 10)
    save_file(pvt.state_dict(), tmp_path / "pvt.safetensors")
    warm = settings.model_copy(
        update={"model": ModelSettings(name="dit_nano", init_weights=str(tmp_path / "pvt.safetensors"))}
    )
    model = build_model(warm, 10).train()
    assert isinstance(model, DiT)
    model.routing_state.open = True
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(model(images), pvt.train()(images), atol=1e-5, rtol=0)


def test_static_costs_of_the_papers_size() -> None:
    paper = RunSettings(model=ModelSettings(name="dit_b2")).model_copy(
        update={"data": RunSettings().data.model_copy(update={"dataset": "imagenet"})}
    )
    costs = static_costs(paper, 224)
    assert costs.macs["PVTv2 diagonal"] == 4_026_734_592
    assert costs.target_macs == round(0.95 * 4_026_734_592)
    assert round(costs.macs["fully, patch embeddings in three columns"] / 1e9, 1) == 15.6
    with pytest.raises(UsageError, match="too small"):
        static_costs(paper, 20)
