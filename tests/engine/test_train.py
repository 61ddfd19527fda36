"""Training: reproducible, resumable to the bit, stopped before it spoils anything."""

import math

import pytest
import torch

from dit_bench.data.loading import build_dataset
from dit_bench.engine.checkpoint import read_state, restore
from dit_bench.engine.evaluate import evaluate
from dit_bench.engine.train import STATE_FILE
from dit_bench.errors import InterruptedRunError, NonFiniteLossError, WeightsError
from dit_bench.models.dit.model import DiT
from dit_bench.recipes.settings import AugmentSettings, NumericsSettings, RuntimeSettings


def states_equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in first.state_dict().items())


def test_same_seed_same_weights_other_seed_other_weights(make_trainer, settings) -> None:
    runs = [make_trainer(settings, folder, seed) for folder, seed in (("a", 0), ("b", 0), ("c", 1))]
    models = [trainer.run() for trainer, _ in runs]
    assert states_equal(models[0], models[1])
    assert runs[0][1].losses == runs[1][1].losses
    assert not states_equal(models[0], models[2])


@pytest.mark.parametrize("stops", [[1], [4], [5, 6, 11]])
def test_interrupted_training_ends_in_the_same_bits(make_trainer, settings, stops: list[int]) -> None:
    """Stopped in the open phase, at an epoch's end (4 steps each), and several times; noise and drop path included."""
    whole, whole_log = make_trainer(settings, "whole")
    expected = whole.run()
    losses: list[float] = []
    epochs = []
    for stop in [*stops, None]:
        seen = len(losses)
        trainer, log = make_trainer(settings, "parts")
        trainer.should_stop = lambda stop=stop, log=log, seen=seen: stop is not None and seen + len(log.losses) >= stop
        torch.rand(7)  # whatever happened to the global stream in between must not matter
        if stop is None:
            assert states_equal(trainer.run(), expected)
        else:
            with pytest.raises(InterruptedRunError):
                trainer.run()
        losses += log.losses
        epochs += log.epochs
    assert losses == whole_log.losses
    drop = {"seconds"}
    strip = [{key: value for key, value in epoch.items() if key not in drop} for epoch in epochs]
    assert strip == [{key: value for key, value in epoch.items() if key not in drop} for epoch in whole_log.epochs]


def test_costs_are_logged_and_the_budget_pulls(make_trainer, settings) -> None:
    trainer, log = make_trainer(settings)
    trainer.run()
    last = log.epochs[-1]
    for key in ("sampled_cost_ratio", "deterministic_cost_ratio", "target_cost_ratio", "task_loss", "grad_norm"):
        assert math.isfinite(last[key]), key
    assert "sampled_cost_ratio" not in log.epochs[0] or log.epochs[0]["gates_open"] in (0.0, 1.0)


def test_gates_learn_only_after_the_open_phase(make_trainer, settings) -> None:
    trainer, log = make_trainer(settings)

    def diagonal_gates() -> list[torch.Tensor]:
        state = trainer.model.state_dict()
        return [state[f"grid.rows.gates.{k}_{k}.projection.weight"].clone() for k in range(4)]

    before = diagonal_gates()
    trainer.should_stop = lambda: len(log.losses) >= 3  # open until 30 % of 12 steps
    with pytest.raises(InterruptedRunError):
        trainer.run()
    assert all(torch.equal(old, new) for old, new in zip(before, diagonal_gates(), strict=True))
    trainer.should_stop = lambda: False
    trainer.run()
    assert not any(torch.equal(old, new) for old, new in zip(before, diagonal_gates(), strict=True))


def test_non_finite_loss_stops_before_the_step(make_trainer, settings) -> None:
    trainer, log = make_trainer(settings)
    with torch.no_grad():
        trainer.model.get_parameter("head.weight")[0, 0] = float("inf")
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 1"):
        trainer.run()
    assert log.losses == []
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_damaged_or_foreign_state_is_refused(make_trainer, settings, tmp_path) -> None:
    trainer, _ = make_trainer(settings)
    trainer.should_stop = lambda: True
    with pytest.raises(InterruptedRunError):
        trainer.run()
    state = tmp_path / "run" / STATE_FILE
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="cannot be picked up"):
        restore(read_state(state), trainer.model, trainer.optimiser)


def test_training_and_packed_inference_under_bf16(make_trainer, settings, scene_cache) -> None:
    half = settings.model_copy(update={"numerics": NumericsSettings(amp="bf16")})
    trainer, log = make_trainer(half)
    model = trainer.run()
    assert all(math.isfinite(loss) for loss in log.losses)
    dataset = build_dataset(half.data, "val", scene_cache)
    assert isinstance(model, DiT)
    packed = evaluate(model, dataset, half, RuntimeSettings(), torch.device("cpu"))
    model.execution = "masked"
    masked = evaluate(model, dataset, half, RuntimeSettings(), torch.device("cpu"))
    assert (packed.records["macs"] == masked.records["macs"]).mean() > 0.9, "half precision may flip a close decision"


def test_mixup_and_soft_targets_are_resumable_too(make_trainer, settings) -> None:
    mixed = settings.model_copy(update={"augment": AugmentSettings(mixup_alpha=0.8, cutmix_alpha=1.0)})
    whole, _ = make_trainer(mixed, "whole")
    expected = whole.run()
    first, log = make_trainer(mixed, "parts")
    first.should_stop = lambda: len(log.losses) >= 5
    with pytest.raises(InterruptedRunError):
        first.run()
    second, _ = make_trainer(mixed, "parts")
    assert states_equal(second.run(), expected)
