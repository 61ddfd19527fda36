"""Which run a run starts from, what trains and what only tests, and which settings make no difference."""

from __future__ import annotations

import pytest

from dit_bench.recipes.dense_settings import PruningMode, PruningSettings, SegmentationSettings
from dit_bench.recipes.identity import hash10
from dit_bench.recipes.lineage import effective_pruning, is_plain_vit, is_trained, lineage, parent
from dit_bench.recipes.settings import RunSettings

STAGES = {"stage_ends": [3, 4, 6], "heads": ["fcn"], "atm_layers": 2}


def _run(mode: PruningMode = "baseline", **pruning: object) -> RunSettings:
    return RunSettings(
        task="segmentation",
        segmentation=SegmentationSettings(segmenter="dtop"),
        pruning=PruningSettings.model_validate({"mode": mode, **pruning}),
    )


def _same(left: RunSettings | None, right: RunSettings) -> bool:
    return left is not None and hash10(left) == hash10(right)


def test_other_runs_have_no_lineage() -> None:
    pruned = PruningSettings(mode="finetune")
    others = [
        RunSettings(pruning=pruned),
        RunSettings(task="detection", pruning=pruned),
        RunSettings(task="segmentation", pruning=pruned),
        RunSettings(pruning=pruned, segmentation=SegmentationSettings(segmenter="dtop")),
    ]
    for settings in others:
        assert not is_plain_vit(settings)
        assert parent(settings) is None
        assert is_trained(settings)
        assert lineage(settings) == [settings]
        assert hash10(settings) == hash10(settings.model_copy(update={"pruning": PruningSettings()}))
    assert is_plain_vit(RunSettings(task="segmentation", segmentation=SegmentationSettings(segmenter="segvit")))


def test_a_baseline_trains_and_grows_out_of_nothing() -> None:
    assert parent(_run()) is None
    assert is_trained(_run())
    assert lineage(_run()) == [_run()]


def test_direct_is_the_baseline_evaluated_anew() -> None:
    direct = _run("direct", threshold=0.9, **STAGES)
    assert not is_trained(direct)
    assert _same(parent(direct), _run(**STAGES))
    assert [step.pruning.mode for step in lineage(direct)] == ["baseline", "direct"]


def test_fine_tuning_starts_from_the_baseline() -> None:
    finetuned = _run("finetune", threshold=0.9, train_threshold=0.9, finetune_updates=7, **STAGES)
    assert is_trained(finetuned)
    assert _same(parent(finetuned), _run(**STAGES))
    assert lineage(finetuned)[-1] == finetuned


def test_retraining_starts_by_itself() -> None:
    retrained = _run("retrain")
    assert is_trained(retrained)
    assert parent(retrained) is None


@pytest.mark.parametrize(("mode", "steps"), [("finetune", ["baseline", "finetune"]), ("retrain", ["retrain"])])
def test_another_threshold_in_the_test_is_the_same_network(mode: PruningMode, steps: list[str]) -> None:
    tested = _run(mode, threshold=0.6, train_threshold=0.9, variant="average", keep=3)
    assert not is_trained(tested)
    trained = parent(tested)
    assert trained is not None
    assert is_trained(trained)
    assert _same(trained, _run(mode, threshold=0.9, train_threshold=0.9, variant="average", keep=3))
    assert [step.pruning.mode for step in lineage(tested)] == [*steps, mode]
    assert [is_trained(step) for step in lineage(tested)] == [*(True for _ in steps), False]
    other = _run(mode, threshold=0.8, train_threshold=0.9, variant="average", keep=3)
    assert _same(parent(other), trained)
    assert hash10(other) != hash10(tested)


@pytest.mark.parametrize(
    ("mode", "without_effect"),
    [
        (
            "baseline",
            {
                "variant": "remove",
                "threshold": 0.5,
                "train_threshold": 0.5,
                "keep": 1,
                "share": 0.1,
                "finetune_updates": 3,
                "finetune_scope": "all",
            },
        ),
        ("direct", {"train_threshold": 0.5, "finetune_updates": 3, "finetune_scope": "all"}),
        ("retrain", {"finetune_updates": 3, "finetune_scope": "all"}),
        ("finetune", {}),
    ],
)
def test_only_what_has_an_effect_makes_another_run(mode: PruningMode, without_effect: dict[str, object]) -> None:
    """Each key alone: those of `without_effect` change nothing, all others do."""
    values: dict[str, object] = {
        "stage_ends": [2, 12],
        "heads": ["fcn"],
        "atm_heads": 2,
        "atm_layers": 1,
        "variant": "remove",
        "threshold": 0.5,
        "train_threshold": 0.5,
        "keep": 1,
        "share": 0.1,
        "finetune_updates": 3,
        "finetune_scope": "all",
        "slide_stride_px": 341,
        "pixel_scale": "imagenet",
        "exclude_ignored": True,
    }
    assert set(values) == set(PruningSettings.model_fields) - {"mode"}
    same = {key for key, value in values.items() if hash10(_run(mode, **{key: value})) == hash10(_run(mode))}
    assert same == set(without_effect)
    bare = effective_pruning(PruningSettings.model_validate({"mode": mode, **values}))
    assert {key for key in values if getattr(bare, key) != values[key]} == set(without_effect)


def test_modes_are_different_runs() -> None:
    modes: list[PruningMode] = ["baseline", "direct", "finetune", "retrain"]
    assert len({hash10(_run(mode)) for mode in modes}) == 4
