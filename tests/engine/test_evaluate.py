"""Evaluation: each image once, the same figures for any batch size, weights that are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dit_bench.cost.counter import counted_macs
from dit_bench.data.loading import build_dataset, evaluation_batches
from dit_bench.engine.accounting import Accounts, model_costs, static_macs
from dit_bench.engine.build import build_model
from dit_bench.engine.counting import static_costs
from dit_bench.engine.evaluate import best_among, evaluate
from dit_bench.engine.latency import latency_metrics, measure_latency
from dit_bench.errors import UsageError
from dit_bench.models.dit.gates import Gate
from dit_bench.models.dit.model import DiT
from dit_bench.recipes.settings import ModelSettings, RoutingSettings, RunSettings, RuntimeSettings
from dit_bench.runs.image_records import ImageRecords

CPU = torch.device("cpu")


@pytest.fixture
def routed_model(settings: RunSettings) -> DiT:
    torch.manual_seed(0)
    model = build_model(settings, 10)
    assert isinstance(model, DiT)
    for gate in model.gates():
        assert isinstance(gate, Gate)
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
        build_model(RunSettings(model=ModelSettings(name=name)), 10)


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
    costs = static_costs(paper, (224, 224))
    assert costs.paths["PVTv2 diagonal"] == 4_026_734_592
    assert costs.target_macs == round(0.95 * 4_026_734_592)
    assert round(costs.paths["fully, patch embeddings in three columns"] / 1e9, 1) == 15.6
    with pytest.raises(UsageError, match="cannot take an input of 20x20"):
        static_costs(paper, (20, 20))


def unrouted(settings: RunSettings, name: str) -> RunSettings:
    return settings.model_copy(
        update={"model": ModelSettings(name=name), "routing": RoutingSettings(variant="diagonal")}
    )


def test_macs_of_a_network_without_a_grid_by_hand() -> None:
    """ResNet-18: stem, four stages of two blocks, classifier, each product of kernel, channels and positions."""
    model = build_model(unrouted(RunSettings(), "resnet18"), 1000)
    for side, classes in ((224, 1000), (96, 1000)):
        at = [(side // stride) ** 2 for stride in (2, 4, 8, 16, 32)]
        macs = 7 * 7 * 3 * 64 * at[0] + 4 * 9 * 64 * 64 * at[1] + 512 * classes
        for width, positions in ((128, at[2]), (256, at[3]), (512, at[4])):
            macs += (9 * width * width // 2 + 3 * 9 * width * width + width * width // 2) * positions
        assert static_macs(model, (side, side)) == macs
        if side == 224:
            assert macs == 1_814_073_344
    assert next(model.parameters()).device.type == "cpu", "the network itself stays where it is"


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_network_without_a_grid_is_one_node(settings, scene_cache: Path, name: str) -> None:
    plain = unrouted(settings, name)
    model = build_model(plain, 10)
    dataset = build_dataset(plain.data, "val", scene_cache)
    found = evaluate(model, dataset, plain, RuntimeSettings(eval_batch_size=8), CPU)
    records = ImageRecords(**found.records)
    assert records.kept.tolist() == records.live.tolist() == [[[1]]] * 30
    assert records.columns.shape == (30, 0, 2)
    assert records.tokens.tolist() == [1]
    # On the CPU, where torch runs other kernels than on the device that the count is made on.
    assert set(records.macs.tolist()) == {counted_macs(lambda: model(torch.zeros(1, 3, 64, 64)))}
    assert (found.kept_ratio, found.column_open_ratio) == ([[1.0]], [])
    assert {"base_gmacs", "fully_gmacs"}.isdisjoint(found.metrics)
    assert found.metrics["params_valid_m"] == found.metrics["params_total_m"]
    with pytest.raises(UsageError, match=f"{name} has no routing grid"):
        model_costs(model, plain, (64, 64), 10)


def test_pvt_sizes_keep_their_grid_and_others_have_none(settings) -> None:
    for name, has_grid in (("pvt_v2_nano", True), ("pvt_v2_b0", False)):
        plain = unrouted(settings, name)
        accounts = Accounts.of(build_model(plain, 10), plain, (64, 64), 10)
        assert (accounts.costs is not None) == has_grid
        assert bool(accounts.fixed_gmacs()) == has_grid


def test_latency_of_a_network_without_a_grid_stands_alone(settings, scene_cache: Path) -> None:
    plain = unrouted(settings, "test_resnet")
    dataset = build_dataset(plain.data, "val", scene_cache)
    found = latency_metrics(build_model(plain, 10), dataset, plain, CPU)
    assert list(found) == ["latency_ms_per_image"]
    assert found["latency_ms_per_image"] > 0


def test_best_among_the_classes_that_may_be_named() -> None:
    logits = torch.tensor([[5.0, 1.0, 3.0, 2.0], [0.0, 9.0, -2.0, -1.0]])
    assert best_among(logits, (2, 3)).tolist() == [2, 3]
    assert best_among(logits, (3, 0)).tolist() == [0, 0]
