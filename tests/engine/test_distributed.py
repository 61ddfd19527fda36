"""Several processes, or several portions, train as one process does with the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dit_bench.errors import UsageError
from dit_bench.models import shares
from dit_bench.models.whole_batch import WholeBatchLayers
from dit_bench.recipes.settings import AugmentSettings, DataSettings, ModelSettings, RunSettings
from tests.engine.conftest import tiny_settings
from tests.engine.several import outcomes_of, together
from tests.engine.several_work import fail_on_last_rank, not_finite_on_last_rank, train
from tests.engine.test_detection import detection_settings
from tests.engine.test_segmentation import segmentation_settings

STEPS = 20


def changed(settings: RunSettings, **optimiser: Any) -> RunSettings:
    """Adam divides gradients by their own size: those that are nothing but rounding must stay small."""
    optimiser = {"eps": 1e-3, **optimiser}
    data = DataSettings(train_images=20, tune_images=8, val_images=7, min_scale=0.4, clutter=0)
    return settings.model_copy(update={"data": data, "optimiser": settings.optimiser.model_copy(update=optimiser)})


def routed() -> RunSettings:
    """Learned gates with noise, a budget, drop path and mixed images; batches of 10, which 4 does not divide."""
    settings = tiny_settings(open_fraction=0.2, noise_end_fraction=0.9, budget_ramp_start_fraction=0.2)
    mixed = AugmentSettings(mixup_alpha=0.8, cutmix_alpha=1.0, shift_px=4)
    return changed(settings.model_copy(update={"augment": mixed}), batch_size=10, epochs=STEPS // 2)


def plain() -> RunSettings:
    settings = tiny_settings("diagonal")
    model = ModelSettings(name="pvt_v2_nano", drop_path_rate=0.1, drop_rate=0.1)
    return changed(settings.model_copy(update={"model": model}), batch_size=5, epochs=STEPS // 4)


def detector(name: str) -> RunSettings:
    return changed(detection_settings("pvt_v2_nano", name), batch_size=5, epochs=STEPS // 4)


def segmenter(name: str) -> RunSettings:
    """With batch norm and dropout of channels."""
    return changed(segmentation_settings("pvt_v2_nano", segmenter=name, updates=STEPS), batch_size=5)


def difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """The largest; relative where values are above 1, as the running variances of batch norms are."""
    assert first.keys() == second.keys()
    pairs = [(first[name].double(), second[name].double()) for name in first]
    return max(((one - other).abs() / one.abs().clamp(min=1)).max().item() for one, other in pairs)


@pytest.mark.parametrize("settings", [routed(), plain(), detector("retinanet"), segmenter("semantic_fpn")])
def test_two_processes_train_as_one_does(settings: RunSettings, tmp_path: Path, scene_cache: Path) -> None:
    arguments = (settings, str(scene_cache), str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    ((expected, losses, epochs),) = together(1, train, *arguments)
    (tmp_path / "state" / "state.safetensors").unlink()
    (first, own_losses, own_epochs), (second, _, _) = together(2, train, *arguments)
    assert len(losses) == STEPS
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert difference(first, expected) < 1e-5
    assert own_losses == pytest.approx(losses, abs=1e-5)
    for own, epoch in zip(own_epochs, epochs, strict=True):
        del own["seconds"], epoch["seconds"]
        assert own == pytest.approx(epoch, rel=1e-4)


@pytest.mark.parametrize(("name", "steps"), [("mask_rcnn", 4)])
def test_what_a_detector_draws_is_drawn_for_the_batch(name: str, steps: int, tmp_path: Path, scene_cache: Path) -> None:
    settings = detector(name)
    settings = settings.model_copy(update={"optimiser": settings.optimiser.model_copy(update={"epochs": steps // 4})})
    ((expected, losses, _),) = together(1, train, settings, str(scene_cache), str(tmp_path))
    (tmp_path / "state.safetensors").unlink()
    (found, own_losses, _), _ = together(2, train, settings, str(scene_cache), str(tmp_path))
    assert own_losses == pytest.approx(losses, abs=1e-5)
    assert difference(found, expected) < 1e-5


def test_portions_are_the_whole_batch_and_other_numbers_of_processes_go_on(tmp_path: Path, scene_cache: Path) -> None:
    """Stopped by the second of two processes, picked up by one with portions, and by three."""
    settings, cache = routed(), str(scene_cache)
    ((expected, losses, _),) = together(1, train, settings, cache, str(tmp_path))
    (tmp_path / "state.safetensors").unlink()
    found = together(2, train, settings, cache, str(tmp_path), 1, 7, 1)
    assert [len(own[1]) for own in found] == [7, 7], "stopped after the same step"
    ((_, in_portions, _),) = together(1, train, settings, cache, str(tmp_path), 3, 7, 0)
    rest = together(3, train, settings, cache, str(tmp_path))
    assert difference(rest[2][0], expected) < 1e-5
    assert [*found[0][1], *in_portions, *rest[0][1]] == pytest.approx(losses, abs=1e-5)


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (fail_on_last_rank, "DataError: cat.jpg: no image"),
        (not_finite_on_last_rank, "NonFiniteLossError: the loss became"),
    ],
)
def test_one_failure_ends_all(before: Any, message: str, tmp_path: Path, scene_cache: Path) -> None:
    outcomes = outcomes_of(2, train, plain(), str(scene_cache), str(tmp_path), 1, None, 0, before)
    errors = [outcome.error or "" for outcome in outcomes]
    assert errors[1].startswith(message)
    assert errors[0].startswith(("InterruptedRunError: another process has ended", "NonFiniteLossError"))
    assert not (tmp_path / "state.safetensors").exists()


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path: Path, scene_cache: Path) -> None:
    settings = changed(plain(), batch_size=2)
    for outcome in outcomes_of(3, train, settings, str(scene_cache), str(tmp_path)):
        assert outcome.error is not None
        assert "2 images cannot be shared out among 3 processes" in outcome.error


def test_batch_norm_and_portions_are_refused(tmp_path: Path, scene_cache: Path) -> None:
    (outcome,) = outcomes_of(1, train, segmenter("semantic_fpn"), str(scene_cache), str(tmp_path), 2)
    assert outcome.error is not None
    assert outcome.error.startswith("UsageError: --accumulation-steps 2: the network has")


def test_layers_of_a_share_are_those_of_the_batch() -> None:
    """Dropout and drop path take their rows; the layers are themselves again afterwards."""
    from timm.layers import DropPath

    class Unknown(torch.nn.BatchNorm2d):
        pass

    model = torch.nn.Sequential(torch.nn.Dropout(0.3), torch.nn.Dropout2d(0.3), DropPath(0.3)).train()
    kinds = [type(layer) for layer in model]
    whole, rows = torch.randn(6, 4, 5, 5), torch.tensor([0, 4, 5])
    torch.manual_seed(1)
    expected = model(whole)
    layers = WholeBatchLayers(model, torch.device("cpu"))
    torch.manual_seed(1)
    with layers.in_place(), shares.computing(shares.Share(rows, 6, lambda value: value)):
        assert torch.equal(model(whole[rows]), expected[rows])
    assert [type(layer) for layer in model] == kinds
    with pytest.raises(UsageError, match="0 is a Unknown"):
        WholeBatchLayers(torch.nn.Sequential(Unknown(3)), torch.device("cpu"))
