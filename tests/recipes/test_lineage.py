"""Which run a run starts from, what trains and what only tests, and which settings make no difference."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dit_bench.recipes.dense_settings import PruningMode, PruningSettings, SegmentationSettings
from dit_bench.recipes.identity import hash10
from dit_bench.recipes.lineage import effective_pruning, is_plain_vit, is_trained, lineage, parent
from dit_bench.recipes.pretraining import PretrainingSettings
from dit_bench.recipes.settings import DataSettings, ModelSettings, RunSettings

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


def _pretrained(mode: PruningMode = "baseline", **pruning: object) -> RunSettings:
    options = PretrainingSettings(epochs=3, train_images=640, min_scale=0.6, lr=0.01)
    return _run(mode, **pruning).model_copy(update={"pretraining": options})


def test_what_starts_by_itself_may_grow_out_of_a_classifier() -> None:
    steps_of: dict[PruningMode, int] = {"baseline": 2, "retrain": 2, "direct": 3, "finetune": 3}
    for mode, steps in steps_of.items():
        chain = lineage(_pretrained(mode, threshold=0.9, train_threshold=0.9))
        assert [step.task for step in chain] == ["classification", *["segmentation"] * (steps - 1)]
        assert chain[0] == lineage(_pretrained())[0]
        assert is_trained(chain[0])
        assert parent(chain[0]) is None


def test_the_classifier_is_trained_as_the_settings_say() -> None:
    settings = _pretrained()
    classifier = lineage(settings)[0]
    assert classifier.model == settings.model
    assert (classifier.data.train_images, classifier.data.min_scale) == (640, 0.6)
    assert classifier.data.max_scale == settings.data.max_scale
    assert (classifier.optimiser.epochs, classifier.optimiser.lr) == (3, 0.01)


def test_detectors_and_pyramids_may_grow_out_of_a_classifier_too() -> None:
    options = PretrainingSettings(epochs=2)
    for settings in (
        RunSettings(task="detection", pretraining=options),
        RunSettings(task="segmentation", pretraining=options),
    ):
        assert [step.task for step in lineage(settings)] == ["classification", settings.task]
        bare = settings.model_copy(update={"pretraining": PretrainingSettings()})
        assert hash10(settings) != hash10(bare)
    assert lineage(RunSettings(pretraining=options)) == [RunSettings(pretraining=options)]
    assert hash10(RunSettings(pretraining=options)) == hash10(RunSettings())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"data": DataSettings(dataset="ade20k")}, "data.dataset is ade20k"),
        ({"model": ModelSettings(init_weights="vit.safetensors")}, "both say where the run starts"),
        ({"data": DataSettings(max_scale=0.4)}, "larger than data.max_scale"),
    ],
)
def test_pretraining_that_cannot_be_is_refused(given: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        RunSettings.model_validate({"task": "segmentation", "pretraining": PretrainingSettings(epochs=2), **given})
