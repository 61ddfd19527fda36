"""Settings that other packages add names to: checked without an import, open to what was installed once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from dit_bench.recipes.identity import canonical_json, hash10
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.override import parse_overrides
from dit_bench.recipes.plugin_names import RECORDED
from dit_bench.recipes.problems import RecipeError
from dit_bench.recipes.resolve import resolve
from dit_bench.recipes.settings import (
    DataSettings,
    EvaluationSettings,
    GateSettings,
    ModelSettings,
    RoutingSettings,
    RunSettings,
)
from dit_bench.recipes.used_plugins import plugin_versions

THEIRS = {"data": {"dataset": "stripes"}, "evaluation": {"metrics": ["calibration"]}}


def test_names_of_installed_packages_are_values_and_nothing_is_imported(example_package: Path) -> None:
    texts = ["data.dataset=stripes", "routing.gate.kind=two_layers", "evaluation.metrics=[calibration]"]
    assert parse_overrides(texts) == {
        ("data", "dataset"): "stripes",
        ("routing", "gate", "kind"): "two_layers",
        ("evaluation", "metrics"): ["calibration"],
    }
    assert not any(module.startswith("example_plugin") for module in sys.modules)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.dataset=stripe", "data.dataset = 'stripe': must be 'digit_scenes', 'imagenet', 'coco', 'ade20k',"),
        ("data.dataset=stripe", " or 'stripes' — did you mean 'stripes'?"),
        ("data.dataset=imagnet", "did you mean 'imagenet'?"),
        ("routing.gate.kind=two_layer", "must be 'linear' or 'two_layers' — did you mean 'two_layers'?"),
        (
            "evaluation.metrics=[calibraton]",
            "evaluation.metrics[0] = 'calibraton': must be 'calibration' — did you mean",
        ),
        ("evaluation.metrics=[calibration, calibration]", "a metric stands twice"),
        ("data.dataset=3", "must be a valid string"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_of_all(example_package: Path, text: str, expected: str) -> None:
    with pytest.raises(RecipeError) as refusal:
        resolve(load_recipe("dit/table6"), "dynamic", "smoke", [text])
    assert expected in str(refusal.value)


def test_without_packages_the_messages_say_what_there_is() -> None:
    with pytest.raises(RecipeError, match=r"routing\.gate\.kind = 'two_layers': must be 'linear'"):
        parse_overrides(["routing.gate.kind=two_layers"])
    with pytest.raises(RecipeError, match=r"no installed package has a metric \(entry points of group dit_bench.metr"):
        parse_overrides(["evaluation.metrics=[calibration]"])


def test_records_name_what_was_installed_once() -> None:
    with pytest.raises(ValidationError):
        RunSettings.model_validate(THEIRS)
    settings = RunSettings.model_validate(THEIRS, context=RECORDED)
    assert (settings.data.dataset, settings.evaluation.metrics) == ("stripes", ["calibration"])


def test_metrics_are_those_of_classification(example_package: Path, write: Callable[..., str]) -> None:
    with pytest.raises(RecipeError) as refusal:
        resolve(load_recipe(write()), "dynamic", "smoke", ["task=detection", "evaluation.metrics=[calibration]"])
    text = "evaluation.metrics are those of classification, but the task is detection"
    assert text in str(refusal.value)
    assert "evaluation.metrics = ['calibration'] (command line)" in str(refusal.value)


def test_only_what_plugs_in_enters_the_identity(example_package: Path) -> None:
    plain = RunSettings()
    assert "kind" not in canonical_json(plain)
    assert "evaluation" not in canonical_json(plain)
    gated = RunSettings(routing=RoutingSettings(gate=GateSettings(kind="two_layers")))
    measured = RunSettings(evaluation=EvaluationSettings(metrics=["calibration"]))
    assert len({hash10(settings) for settings in (plain, gated, measured)}) == 3


def test_gates_of_a_row_without_learned_gates_have_no_effect(example_package: Path) -> None:
    row = resolve(load_recipe("dit/table6"), "fully", "smoke", ["routing.gate.kind=two_layers"])
    assert row.settings.routing.gate.kind == "linear"


def test_what_a_run_uses_is_known_by_package(example_package: Path) -> None:
    assert plugin_versions(RunSettings()) == {}
    for settings in (
        RunSettings(model=ModelSettings(name="tiny_cnn")),
        RunSettings(data=DataSettings(dataset="stripes")),
        RunSettings(evaluation=EvaluationSettings(metrics=["calibration"])),
        RunSettings(routing=RoutingSettings(gate=GateSettings(kind="two_layers"))),
    ):
        assert plugin_versions(settings) == {"dit-bench-example": "0.1.0"}
    gate = GateSettings(kind="two_layers")
    assert plugin_versions(RunSettings(routing=RoutingSettings(variant="fully", gate=gate))) == {}


def test_the_schema_names_ours_and_leaves_room_for_theirs() -> None:
    schema = RunSettings.model_json_schema()["$defs"]
    ours, theirs = schema["DataSettings"]["properties"]["dataset"]["anyOf"]
    assert "digit_scenes" in ours["enum"]
    assert theirs["type"] == "string"
    assert schema["EvaluationSettings"]["properties"]["metrics"]["items"]["type"] == "string"
