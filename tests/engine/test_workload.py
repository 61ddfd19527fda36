"""The size of runs from their settings: images counted by hand, MACs by closed forms, no data read."""

from __future__ import annotations

import pytest

from dit_bench.engine.workload import training_images, training_size, workload
from dit_bench.errors import UsageError
from dit_bench.models.dit.costs import grid_costs
from dit_bench.models.pvt import SIZES
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import resolve
from dit_bench.recipes.settings import RunSettings


def _settings(recipe: str, row: str, profile: str, *overrides: str) -> RunSettings:
    return resolve(load_recipe(recipe), row, profile, overrides).settings


def test_images_of_a_training() -> None:
    mini = _settings("dit/table6", "dynamic", "mini")
    assert training_images(mini) == 6000 // 64 * 64 * 10 == 59_520
    # DeiT's sampler rounds down to 256, then whole batches of 1024 remain.
    paper = _settings("dit/table1", "dit-b2", "paper", "augment.repeated_augmentation=3", "optimiser.batch_size=1024")
    assert training_images(paper) == 1_281_024 // 1024 * 1024 * paper.optimiser.epochs
    dense = _settings("dit/table5", "dit-b2", "mini")
    assert training_images(dense) == dense.segmentation.updates * dense.optimiser.batch_size == 80_000
    detector = _settings("dit/table3", "retinanet-dit-b2", "paper")
    assert training_images(detector) == 117_266 * detector.optimiser.epochs


def test_a_photograph_is_wider_than_high_and_a_scene_is_square() -> None:
    assert training_size(_settings("dit/table3", "retinanet-dit-b2", "paper")) == (720, 960)  # the mean of 640 … 800
    scene = _settings("dit/table3", "retinanet-dit-b2", "mini")
    assert len(set(training_size(scene))) == 1


def test_masked_training_computes_every_node_and_inference_what_the_budget_allows() -> None:
    settings = _settings("dit/table6", "dynamic", "mini")
    costs = grid_costs(SIZES["mini"], (64, 64), 10)
    found = workload(settings)
    assert found.train_macs == costs.fully((0, 1, 2, 3, 4))
    # The target counts the gates of the base's own path, too.
    assert found.eval_macs == pytest.approx(settings.routing.budget_ratio * costs.base, rel=0.01)
    assert found.eval_images == 1500
    assert found.train_gmacs == pytest.approx(3 * 59_520 * found.train_macs / 1e9)
    plain = workload(_settings("dit/table1", "pvt-v2-b2", "mini"))
    assert plain.train_macs == plain.eval_macs == costs.base


def test_a_run_that_only_evaluates_trains_on_nothing() -> None:
    assert workload(_settings("dtop/table1", "direct", "smoke")).train_images == 0
    assert workload(_settings("dtop/table1", "finetune", "smoke")).train_images > 0


def test_an_unknown_number_of_images_is_said() -> None:
    settings = _settings("dit/table6", "dynamic", "mini")
    other = settings.model_copy(update={"data": settings.data.model_copy(update={"dataset": "theirs"})})
    with pytest.raises((UsageError, KeyError), match="theirs"):
        training_images(other)
