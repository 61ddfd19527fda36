"""Estimates: finished runs first, then a stated throughput or a trial step; times of several places by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dit_bench.engine.estimates import Estimator, wall_seconds
from dit_bench.engine.trial_step import trial_step
from dit_bench.engine.workload import workload
from dit_bench.recipes.identity import canonical_json
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import planned_runs, resolve_rows
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.evidence import Evidence
from dit_bench.runs.plan import PlannedStep, Stand, plan_steps
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.unfinished import Progress
from tests.small_records import small_record


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def _steps(recipe: str = "dit/table1", profile: str = "mini") -> dict[str, PlannedStep]:
    steps = plan_steps(planned_runs(resolve_rows(load_recipe(recipe), [], profile, seeds=[0])))
    return {step.row_ids[0]: step for step in steps}


def _finished(step: PlannedStep, folder: Path, seconds: float) -> Evidence:
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(bytes(1000))
    (folder / "records.npz").write_bytes(bytes(50))
    images = float(workload(step.settings).train_images)
    record = small_record(step.settings, 1, train_seconds=seconds, eval_seconds=2.0, images_seen=images)
    return Evidence((FinishedRun(folder, record),))


def test_runs_with_another_seed_come_first(tmp_path: Path) -> None:
    step = _steps()["pvt-v2-b2"]
    found = Estimator([_finished(step, tmp_path / "a", 100.0)], frozenset(), None, 1e9).estimate(step, Stand("open"))
    assert (found.seconds.value, found.disk_bytes.value) == (102.0, 1050.0)
    assert found.seconds.source == "1 finished run with another seed"


def test_other_runs_are_scaled_by_their_macs(tmp_path: Path) -> None:
    steps = _steps()
    small, large = steps["pvt-v2-b1"], steps["pvt-v2-b3"]
    evidence = [_finished(small, tmp_path / "a", 100.0)]
    recipe = frozenset(canonical_json(step.settings) for step in steps.values())
    found = Estimator(evidence, recipe, None).estimate(large, Stand("open"))
    ratio = workload(large.settings).train_macs / workload(small.settings).train_macs
    assert found.seconds.value == pytest.approx(100.0 * ratio)
    assert "of this recipe" in found.seconds.source
    elsewhere = Estimator(evidence, frozenset(), None).estimate(large, Stand("open"))
    assert "of this recipe" not in elsewhere.seconds.source
    # A routed network is another matter: a stated throughput goes before runs of plain ones.
    routed = Estimator(evidence, recipe, None, 50.0).estimate(steps["dit-b1"], Stand("open"))
    work = workload(steps["dit-b1"].settings)
    assert routed.seconds.value == pytest.approx((work.train_gmacs + 1500 * work.eval_macs / 1e9) / 50.0)
    assert routed.seconds.source == "50 GMACs/s as stated"
    weights = 4 * work.params
    assert routed.disk_bytes.value == pytest.approx(weights + 50)
    assert routed.state_bytes == 2 * 3 * weights


def test_an_interrupted_run_knows_best_itself(tmp_path: Path) -> None:
    step = _steps()["pvt-v2-b2"]
    stand = Stand("interrupted", progress=Progress(4, 400, 59_520 // 4, 30.0))
    found = Estimator([_finished(step, tmp_path / "a", 1e6)], frozenset(), None).estimate(step, stand)
    assert found.seconds.value == pytest.approx(3 * 30.0 + 2.0)


def test_without_anything_to_go_by_nothing_is_made_up() -> None:
    found = Estimator([], frozenset(), None).estimate(_steps()["dit-b2"], Stand("open"))
    assert (found.seconds.value, found.memory_bytes.value) == (None, None)
    assert "--throughput" in found.seconds.source


def test_a_trial_step_measures_throughput_and_what_the_backward_pass_keeps() -> None:
    settings = _steps(profile="smoke")["pvt-v2-b1"].settings
    trial = trial_step(settings, "cpu")
    assert trial is not None
    assert trial.gmacs_per_second > 0
    work = workload(settings)
    kept = trial.kept_bytes_per_mac * work.train_macs
    # Of one image at least the input and the stem's output, at most some hundred maps of the size of the stem's.
    assert 4 * 3 * 64 * 64 < kept < 100 * 4 * 16 * 16 * 32 * 10
    found = Estimator([], frozenset(), "cpu", process_bytes=1e9).estimate(
        _steps(profile="smoke")["pvt-v2-b1"], Stand("open")
    )
    scenes = (settings.data.train_images + settings.data.val_images) * 3 * 64 * 64
    whole = 1e9 + scenes + 16 * work.params + 1.3 * kept * settings.optimiser.batch_size
    assert found.memory_bytes.value == pytest.approx(whole)
    assert "trial step" in found.seconds.source


@pytest.mark.parametrize("recipe", ["dit/table4", "dit/table5", "dtop/table1"])
def test_every_task_has_a_trial_step(recipe: str) -> None:
    (settings, *_) = {step.settings.task: step.settings for step in _steps(recipe, "smoke").values()}.values()
    trial = trial_step(settings, "cpu")
    assert trial is not None
    assert trial.kept_bytes_per_mac > 0


def test_a_trial_that_would_take_too_long_is_not_made() -> None:
    settings = RunSettings.model_validate(
        {"model": {"name": "pvt_v2_b5"}, "routing": {"variant": "diagonal"}, "data": {"image_size_px": 512}}
    )
    assert trial_step(settings, "cpu") is None


def test_the_last_run_ends_when_places_and_starts_allow() -> None:
    steps = plan_steps(planned_runs(resolve_rows(load_recipe("dtop/table1"), [], "smoke")))
    by_mode = {step.settings.pruning.mode: step.name for step in steps}
    seconds = {by_mode["baseline"]: 10.0, by_mode["direct"]: 1.0, by_mode["finetune"]: 5.0, by_mode["retrain"]: 12.0}
    assert wall_seconds(steps, seconds, 1) == 28.0
    assert wall_seconds(steps, seconds, None) == 15.0
    assert wall_seconds(steps, {by_mode["finetune"]: 5.0}, None) == 5.0
    assert wall_seconds(steps, {}, 2) == 0.0
