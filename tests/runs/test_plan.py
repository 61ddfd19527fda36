"""The runs of a command in their order, and how each stands in a results folder."""

from __future__ import annotations

from pathlib import Path

from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.resolve import planned_runs, resolve_rows
from dit_bench.runs.plan import PlannedStep, look_up, plan_steps
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore


def _steps(*row_ids: str, seeds: tuple[int, ...] = (0,)) -> list[PlannedStep]:
    return plan_steps(planned_runs(resolve_rows(load_recipe("dtop/table1"), row_ids, "smoke", seeds=seeds)))


def test_what_a_run_starts_from_comes_before_it_and_once() -> None:
    steps = _steps(seeds=(0, 1))
    names = [step.name for step in steps]
    assert len(names) == len(set(names)) == 8
    modes = {step.settings.pruning.mode for step in steps}
    assert modes == {"baseline", "direct", "finetune", "retrain"}
    for step in steps:
        mode = step.settings.pruning.mode
        assert (step.before is None) == (mode in ("baseline", "retrain"))
        assert step.trains == (mode != "direct")
        if step.before is not None:
            assert step.before.endswith(f"-seed{step.seed}")
            assert names.index(step.before) < names.index(step.name)


def test_a_start_that_no_row_shows_is_planned_all_the_same() -> None:
    baseline, finetuned = _steps("finetune")
    assert (baseline.row_ids, finetuned.row_ids) == ((), ("finetune",))
    assert finetuned.before == baseline.name
    both = {step.settings.pruning.mode: step.row_ids for step in _steps("finetune", "baseline")}
    assert both == {"baseline": ("baseline",), "finetune": ("finetune",)}


def test_runs_are_found_held_interrupted_or_open(tmp_path: Path, record: RunRecord) -> None:
    store, step = RunStore(tmp_path / "runs"), _steps("baseline")[0]
    assert look_up(step, store).name == "open"
    assert not store.root.exists()
    with store.begin(step.settings, step.seed) as folder:
        held = look_up(step, store)
        assert (held.name, held.holder != "") == ("held", True)
        folder.publish(record.model_copy(update={"settings": step.settings, "seed": step.seed}))
    found = look_up(step, store)
    assert found.name == "found"
    assert found.run is not None
    assert found.run.record.settings == step.settings
