"""`dit-bench eval` of detectors: tables of figures and of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch

from dit_bench.data.coco.build import build_detection_set
from dit_bench.data.coco.detection_set import SetObjects
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.models.detectors.structures import Detections, PaddedImages
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.recipes.settings import DataSettings

if TYPE_CHECKING:
    from tests.cli.conftest import TrainedRun

Run = Callable[..., tuple[int, str, str]]

FOUND_CLASSES = 5
"""Digits below this are found exactly, the others beside their place."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_bench.engine.detection_jobs.LATENCY_IMAGES", 1)


@pytest.fixture
def truth(trained_detector: TrainedRun) -> list[SetObjects]:
    """The objects of the scenes that the run was evaluated on."""
    data = DataSettings.model_validate(trained_detector.record["settings"]["data"])
    scenes = build_detection_set(data, "val", training=False, cache_dir=trained_detector.scenes)
    return [scenes.objects(index) for index in range(len(scenes))]


@pytest.fixture
def oracle(truth: list[SetObjects], monkeypatch: pytest.MonkeyPatch) -> None:
    """The network, but with detections that know the truth; all scenes fit into one batch."""

    def detect(network: DetectionNetwork, images: PaddedImages) -> tuple[list[Detections], RoutingTrace | None]:
        found = []
        for objects in truth[: len(images.sizes)]:
            labels = torch.from_numpy(objects.labels)
            boxes = torch.from_numpy(objects.boxes).float() + 64 * (labels >= FOUND_CLASSES)[:, None]
            found.append(Detections(boxes, torch.full((len(labels),), 0.9), labels, torch.ones(len(labels), 28, 28)))
        return found, network.backbone(images.pixels)[1]

    monkeypatch.setattr(DetectionNetwork, "detect", detect)


@pytest.mark.usefixtures("oracle")
def test_tables_of_what_was_found(trained_detector: TrainedRun, outcome: Run, truth: list[SetObjects]) -> None:
    code, out, err = outcome("eval", *trained_detector.arguments, "--per-class")
    assert code == 0, err
    assert f"evaluated 4 images with {sum(len(objects.labels) for objects in truth)} objects" in err
    headings, *lines = (line.split("\t") for line in out.splitlines())
    assert headings == ["row", "figure", "value"]
    assert {line[0] for line in lines} == {f"{trained_detector.row} seed 0", "row"}
    start = lines.index(["row", "category", "name", "box AP (%)", "mask AP (%)"])
    figures, classes = {name: value for _, name, value in lines[:start]}, lines[start + 1 :]
    assert [line[2] for line in classes] == [f"digit_{digit}" for digit in range(10)]
    present = {int(label) for objects in truth for label in objects.labels}
    by_class = {int(line[2][-1]): line[3] for line in classes}
    expected = {digit: "100.00" if digit < FOUND_CLASSES else "0.00" for digit in present}
    assert by_class == {digit: expected.get(digit, "—") for digit in range(10)}
    share = 100 * sum(digit < FOUND_CLASSES for digit in present) / len(present)
    assert 0 < share < 100
    assert figures["box AP (%)"] == f"{share:.2f}"
    metrics = trained_detector.record["metrics"]
    assert figures["MACs relative to PVTv2"] == f"{metrics['gmacs_mean'] / metrics['base_gmacs']:.4f}"
    assert figures["images"] == "4"
    assert len(figures["kept ratio, scale 1/4, stages 1 … 4"].split()) == 4
