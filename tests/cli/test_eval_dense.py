"""`dit-bench eval` of detectors and of segmentation networks alike: JSON, splits, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import refused

if TYPE_CHECKING:
    from tests.cli.conftest import TrainedRun

Run = Callable[..., tuple[int, str, str]]

MEASURED = ("latency_ms_per_image", "base_latency_ms_per_image", "eval_seconds", "train_seconds")


@dataclass(frozen=True)
class Kind:
    """What differs between the tasks."""

    fixture: str
    task: str
    metrics: set[str]
    classes: tuple[str, list[int]]
    """Key and values of the classes' numbers."""
    another: str
    """Setting that makes another architecture of it."""


KINDS = [
    Kind(
        "trained_detector",
        "detection",
        {"box_ap_percent", "mask_ap_percent", "gmacs_mean"},
        ("category_id", list(range(1, 11))),
        "detection.detector=retinanet",
    ),
    Kind(
        "trained_segmenter",
        "segmentation",
        {"miou_percent", "pixel_accuracy_percent", "gmacs_mean"},
        ("class", list(range(11))),
        "segmentation.segmenter=deeplabv3_plus",
    ),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.task)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setattr(f"dit_bench.engine.{request.param.task}_jobs.LATENCY_IMAGES", 1)
    return request.param


@pytest.fixture
def trained(kind: Kind, request: pytest.FixtureRequest) -> TrainedRun:
    return request.getfixturevalue(kind.fixture)


def test_json_is_the_record_of_the_run_and_has_all_classes(kind: Kind, trained: TrainedRun, outcome: Run) -> None:
    code, out, err = outcome("eval", *trained.arguments, "--json")
    assert code == 0, err
    (found,) = json.loads(out)
    record = trained.record
    assert (found["row"], found["seed"], found["split"], found["num_images"]) == (trained.row, 0, "val", 4)
    assert found["weights"] == str(trained.run / "weights.safetensors")
    for name in ("kept_ratio", "column_open_ratio"):
        assert found[name] == record[name]
    compared = set(found["metrics"]) - set(MEASURED)
    assert kind.metrics < compared
    assert {name: found["metrics"][name] for name in compared} == {name: record["metrics"][name] for name in compared}
    key, numbers = kind.classes
    assert [scores[key] for scores in found["per_class"]] == numbers


def test_weights_from_a_file_on_another_split(trained: TrainedRun, outcome: Run) -> None:
    weights = str(trained.run / "weights.safetensors")
    code, out, err = outcome("eval", *trained.arguments, "--checkpoint", weights, "--split", "tune", "--json")
    assert code == 0, err
    (found,) = json.loads(out)
    assert (found["seed"], found["weights"], found["split"], found["num_images"]) == (None, weights, "tune", 2)


def test_what_classifiers_have_is_refused(kind: Kind, trained: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    refused(outcome("eval", *trained.arguments, "--protocol", "deit"), 2, "--protocol", kind.task, "leave it out")
    records = ["--records", str(tmp_path / "r.csv")]
    refused(outcome("eval", *trained.arguments, *records), 2, "--records", kind.task, "leave it out")
    assert not (tmp_path / "r.csv").exists()


def test_missing_and_wrong_weights(kind: Kind, trained: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    elsewhere = [*trained.arguments, "--results", str(tmp_path)]
    refused(outcome("eval", *elsewhere), 3, trained.row, "no finished run", f"dit-bench train {trained.recipe}")
    nothing = str(tmp_path / "no.safetensors")
    refused(outcome("eval", *trained.arguments, "--checkpoint", nothing), 3, nothing, "no such file")
    weights = str(trained.run / "weights.safetensors")
    other = [kind.another, "--checkpoint", weights]
    refused(outcome("eval", *trained.arguments, *other), 3, weights, "another architecture")
