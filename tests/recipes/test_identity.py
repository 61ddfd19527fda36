from __future__ import annotations

import hashlib
import json

import pytest
from pydantic import ValidationError

from dit_bench.recipes.dense_settings import DetectionSettings, SegmentationSettings
from dit_bench.recipes.identity import canonical_json, hash10, run_name
from dit_bench.recipes.settings import ModelSettings, OptimiserSettings, RunSettings


def test_hash_is_that_of_sorted_compact_json() -> None:
    settings = RunSettings(task="detection")
    content = json.loads(settings.model_dump_json())
    del content["segmentation"], content["pruning"], content["pretraining"]
    del content["evaluation"], content["routing"]["gate"]["kind"], content["detection"]["num_queries"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert canonical_json(settings) == text
    assert hash10(settings) == hashlib.sha256(text.encode()).hexdigest()[:10]


def test_other_tasks_do_not_rename_a_run() -> None:
    """The hash of the first release's defaults, from when classification was the only task."""
    settings = RunSettings(detection=DetectionSettings(detector="atss"), segmentation=SegmentationSettings(updates=9))
    assert "detection" not in canonical_json(settings)
    assert "segmentation" not in canonical_json(settings)
    assert "task" not in json.loads(canonical_json(settings))
    assert hash10(settings) == hash10(RunSettings())
    assert hash10(RunSettings(task="detection")) != hash10(RunSettings())


def test_equal_values_written_differently_are_the_same_run() -> None:
    whole = RunSettings.model_validate({"optimiser": {"weight_decay": 1}})
    real = RunSettings(optimiser=OptimiserSettings(weight_decay=1.0))
    assert canonical_json(whole) == canonical_json(real)


def test_any_change_changes_the_hash() -> None:
    assert hash10(RunSettings()) != hash10(RunSettings(optimiser=OptimiserSettings(eps=1.1e-8)))


def test_run_name_is_a_safe_folder_name() -> None:
    settings = RunSettings(model=ModelSettings(name="../hf-hub:a/b"))
    assert run_name(settings, 3) == f".._hf_hub_a_b-dynamic-{hash10(settings)}-seed3"
    assert run_name(RunSettings(), 0).startswith("dit_mini-dynamic-")


def test_a_published_number_of_queries_does_not_rename_a_run() -> None:
    plain = RunSettings(task="detection", detection=DetectionSettings(detector="detr"))
    assert "num_queries" not in canonical_json(plain)
    few = RunSettings(task="detection", detection=DetectionSettings(detector="detr", num_queries=25))
    assert '"num_queries":25' in canonical_json(few)
    with pytest.raises(ValidationError, match="num_queries is for sparse_rcnn and detr, not retinanet"):
        DetectionSettings(detector="retinanet", num_queries=25)
