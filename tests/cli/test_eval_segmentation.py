"""`dit-bench eval` of segmentation networks: tables of figures and of classes, and of pruned networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dit_bench.data.segmentation.build import build_segmentation_set
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.segmenters.network import SegmentationNetwork
from dit_bench.recipes.dense_settings import SegmentationSettings
from dit_bench.recipes.settings import DataSettings

if TYPE_CHECKING:
    from tests.cli.conftest import TrainedRun

Run = Callable[..., tuple[int, str, str]]

FOUND_CLASSES = 5
"""Background and the digits before this class are found exactly, the others are taken for background."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_bench.engine.segmentation_jobs.LATENCY_IMAGES", 1)


@pytest.fixture
def truth(trained_segmenter: TrainedRun) -> np.ndarray:
    """The label maps (N, H, W) of the scenes that the run was evaluated on."""
    settings = trained_segmenter.record["settings"]
    data, segmentation = (
        DataSettings.model_validate(settings["data"]),
        SegmentationSettings.model_validate(settings["segmentation"]),
    )
    scenes = build_segmentation_set(data, segmentation, "val", cache_dir=trained_segmenter.scenes)
    return np.stack([scenes.labels(index) for index in range(len(scenes))])


@pytest.fixture
def oracle(truth: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network, but with scores that know the truth; all scenes fit into one batch."""

    def segment(network: SegmentationNetwork, pixels: Tensor) -> tuple[Tensor, RoutingTrace | None]:
        labels = torch.from_numpy(np.where(truth < FOUND_CLASSES, truth, 0)[: len(pixels)]).long()
        return functional.one_hot(labels, 11).movedim(-1, 1).float(), network.backbone(pixels)[1]

    monkeypatch.setattr(SegmentationNetwork, "segment", segment)


@pytest.mark.usefixtures("oracle")
def test_tables_of_what_was_found(trained_segmenter: TrainedRun, outcome: Run, truth: np.ndarray) -> None:
    code, out, err = outcome("eval", *trained_segmenter.arguments, "--per-class")
    assert code == 0, err
    assert "evaluated 4 images" in err
    headings, *lines = (line.split("\t") for line in out.splitlines())
    assert headings == ["row", "figure", "value"]
    assert {line[0] for line in lines} == {f"{trained_segmenter.row} seed 0", "row"}
    start = lines.index(["row", "class", "name", "IoU (%)", "accuracy (%)"])
    figures, classes = {name: value for _, name, value in lines[:start]}, lines[start + 1 :]
    assert [line[2] for line in classes] == ["background", *(f"digit_{digit}" for digit in range(10))]

    pixels = np.bincount(truth.ravel(), minlength=11)
    missed = pixels[FOUND_CLASSES:].sum()
    assert missed > 0
    ious = {number: 100.0 if number < FOUND_CLASSES else 0.0 for number in range(11) if pixels[number]}
    ious[0] = 100 * pixels[0] / (pixels[0] + missed)
    assert {int(line[1]): line[3] for line in classes} == {
        number: f"{ious[number]:.2f}" if number in ious else "—" for number in range(11)
    }
    assert classes[0][4] == "100.00"
    assert figures["mIoU (%), classes in truth or prediction"] == f"{np.mean(list(ious.values())):.2f}"
    assert figures["mIoU (%), all classes, 0 for an absent one"] == f"{sum(ious.values()) / 11:.2f}"
    assert figures["pixel accuracy (%)"] == f"{100 * (1 - missed / truth.size):.2f}"
    metrics = trained_segmenter.record["metrics"]
    assert figures["MACs relative to PVTv2"] == f"{metrics['gmacs_mean'] / metrics['base_gmacs']:.4f}"
    assert figures["images"] == "4"
    assert len(figures["kept ratio, scale 1/4, stages 1 … 4"].split()) == 4


def test_pruned_networks_cost_what_the_paper_counts_too(trained_pruners: TrainedRun, outcome: Run) -> None:
    code, out, err = outcome("eval", *trained_pruners.arguments, "--row", "finetune", "--row", "baseline")
    assert code == 0, err
    by_row: dict[str, dict[str, str]] = {}
    for row, name, value in (line.split("\t") for line in out.splitlines()):
        by_row.setdefault(row, {})[name] = value
    figures, plain = by_row["finetune seed 0"], by_row["baseline seed 0"]
    metrics = trained_pruners.record["metrics"]
    counted = "GMACs per window as the paper counts them, with / without auxiliary heads"
    with_aux, without_aux = (float(value) for value in figures[counted].split(" / "))
    assert with_aux == pytest.approx(metrics["fvcore_gmacs_mean"], rel=1e-4)
    assert without_aux == pytest.approx(metrics["fvcore_gmacs_without_aux_mean"], rel=1e-4)
    assert without_aux < with_aux
    share = float(figures["MACs relative to the unpruned network"])
    assert share == pytest.approx(metrics["gmacs_mean"] / metrics["base_gmacs"], abs=1e-4)
    assert (figures["images"], figures["windows per image, mean"]) == ("4", "1")
    first, second, third = (float(value) for value in figures["tokens still live, stages 1 … 3"].split())
    assert first == 1 > second >= third > 0, "tokens leave after the first head"
    assert not any("PVTv2" in name or "scale 1/4" in name or "column gates" in name for name in figures)
    assert plain["tokens still live, stages 1 … 3"].split() == ["1.000"] * 3
    assert plain["MACs relative to the unpruned network"] == "1.0000"
    assert len(set(plain[counted].split(" / "))) == 1, "the baseline has no auxiliary heads to run"
