"""Weights from a file on an ImageNet folder: the right label for each folder, whatever the head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from dit_bench.cli.progress import PlainReporter
from dit_bench.engine.context import JobContext
from dit_bench.engine.protocols import ProtocolName
from dit_bench.engine.scoring import Scored, score_weights
from dit_bench.errors import DataError, UsageError, WeightsError
from dit_bench.recipes.settings import (
    DataSettings,
    ModelSettings,
    NumericsSettings,
    RoutingSettings,
    RunSettings,
    RuntimeSettings,
)
from dit_bench.runs.store import RunStore

Weights = dict[str, torch.Tensor]
NO_PROTOCOL: tuple[ProtocolName, ...] = ()
DEIT: tuple[ProtocolName, ...] = ("deit",)


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobContext:
    # What is measured is of no interest here and takes a second each time.
    latency = {"latency_ms_per_image": 1.0}
    monkeypatch.setattr("dit_bench.engine.scoring.latency_metrics", lambda *arguments, **options: latency)
    runtime = RuntimeSettings(device="cpu", eval_batch_size=7, data_dir=str(tmp_path / "cache"))
    return JobContext(RunStore(tmp_path / "runs"), runtime, PlainReporter())


@pytest.fixture
def score(tmp_path: Path, context: JobContext, synset_folder: Path) -> Callable[..., list[Scored]]:
    def run(weights: Weights, protocols: tuple[Any, ...] = (), model: str = "pvt_v2_nano", **data: Any) -> list[Scored]:
        file = tmp_path / "w.safetensors"
        save_file(weights, file)
        settings = RunSettings(
            model=ModelSettings(name=model),
            routing=RoutingSettings(variant="diagonal"),
            data=DataSettings.model_validate({"dataset": "imagenet", "root": str(synset_folder), **data}),
        )
        return score_weights(settings, file, "val", context, protocols)

    return run


def test_the_same_head_spread_over_imagenets_classes_predicts_the_same(
    score: Callable[..., list[Scored]],
    colour_weights: Weights,
    as_imagenet_classifier: Callable[..., Weights],
    imagenet_labels: dict[str, int],
) -> None:
    (ten,) = score(colour_weights)
    (thousand,) = score(as_imagenet_classifier(colour_weights))
    numbers = np.array(list(imagenet_labels.values()))
    small, large = ten.evaluation.records, thousand.evaluation.records
    assert len(set(small["prediction"].tolist())) == 10
    assert np.array_equal(numbers[small["prediction"]], large["prediction"])
    assert np.array_equal(numbers[small["label"]], large["label"])
    assert np.array_equal(small["top5_hit"], large["top5_hit"])
    # Two of three images of each class are in the class's colour.
    assert ten.metrics["top1_percent"] == thousand.metrics["top1_percent"] == pytest.approx(200 / 3)
    assert thousand.metrics["top1_present_percent"] == pytest.approx(200 / 3)
    assert "top1_present_percent" not in ten.metrics
    assert thousand.metrics["params_total_m"] - ten.metrics["params_total_m"] == pytest.approx(990 * 97 / 1e6)
    assert thousand.metrics["gmacs_mean"] - ten.metrics["gmacs_mean"] == pytest.approx(990 * 96 / 1e9)
    assert (thousand.conditions.num_present, thousand.conditions.num_classes) == (10, 1000)
    assert (thousand.conditions.by_synset, ten.conditions.by_synset) == (True, False)


def test_absent_classes_count_as_predictions_but_not_among_the_present_ones(
    score: Callable[..., list[Scored]], colour_weights: Weights, as_imagenet_classifier: Callable[..., Weights]
) -> None:
    (found,) = score(as_imagenet_classifier(colour_weights, elsewhere=1e4))
    assert found.metrics["top1_percent"] == 0
    assert found.metrics["top5_percent"] == 0
    assert found.metrics["top1_present_percent"] == pytest.approx(200 / 3)


def test_what_images_and_classes_are_called(
    score: Callable[..., list[Scored]], colour_weights: Weights, as_imagenet_classifier: Callable[..., Weights]
) -> None:
    (found,) = score(as_imagenet_classifier(colour_weights))
    assert found.image_names[3] == "val/n02102040/n02102040_0.JPEG"
    assert (found.class_names[217], found.english_names[217]) == ("n02102040", "English springer")


def test_each_protocol_is_an_evaluation_of_its_own(score: Callable[..., list[Scored]], colour_weights: Weights) -> None:
    (plain,) = score(colour_weights, eval_crop_fraction=0.2)
    assert (plain.conditions.protocol, plain.conditions.crop_fraction) == (None, 0.2)
    weights = timm.create_model("test_resnet", num_classes=10).state_dict()
    found = score(weights, ("timm", "deit"), model="test_resnet", eval_crop_fraction=0.2)
    crops = [(scored.conditions.protocol, scored.conditions.crop_fraction) for scored in found]
    assert crops == [("timm", 0.95), ("deit", 0.875)]


def test_the_crop_reaches_the_images(
    tmp_path: Path, context: JobContext, colour_weights: Weights, class_colours: list[tuple[int, int, int]]
) -> None:
    """Class 0's colour with a core of class 5's: a small crop sees the core alone."""
    image = Image.new("RGB", (200, 200), class_colours[0])
    image.paste(class_colours[5], (60, 60, 140, 140))
    for number in range(10):
        folder = tmp_path / "set" / "val" / str(number)
        folder.mkdir(parents=True)
        image.save(folder / "0.png")
    save_file(colour_weights, tmp_path / "w.safetensors")
    data = DataSettings(dataset="imagenet", root=str(tmp_path / "set"), eval_crop_fraction=0.3)
    settings = RunSettings(
        model=ModelSettings(name="pvt_v2_nano"), routing=RoutingSettings(variant="diagonal"), data=data
    )
    predicted = []
    for protocols in NO_PROTOCOL, DEIT:
        (found,) = score_weights(settings, tmp_path / "w.safetensors", "val", context, protocols)
        predicted.append(set(found.evaluation.records["prediction"].tolist()))
    assert predicted[0] == {5}
    assert predicted[1] != {5}


def test_fp16_on_a_cpu_is_refused_before_any_file_is_read(context: JobContext) -> None:
    settings = RunSettings(model=ModelSettings(name="pvt_v2_nano"), numerics=NumericsSettings(amp="fp16"))
    with pytest.raises(UsageError, match="fp16 needs a CUDA device"):
        score_weights(settings, Path("nowhere.pth"), "val", context)


def test_protocols_of_digit_scenes_are_refused_before_any_file_is_read(context: JobContext) -> None:
    with pytest.raises(UsageError, match="--protocol timm"):
        score_weights(RunSettings(), Path("nowhere.pth"), "val", context, ("timm",))


def test_a_head_of_other_classes_is_refused(score: Callable[..., list[Scored]], colour_weights: Weights) -> None:
    weights = {**colour_weights, "head.weight": torch.zeros(12, 96), "head.bias": torch.zeros(12)}
    with pytest.raises(WeightsError, match="12 classes, the data set has 10"):
        score(weights)
    with pytest.raises(WeightsError, match="12 classes, the data set has 10"):
        score(weights, dataset="digit_scenes", root=None, val_images=10)


def test_another_architecture_is_refused(score: Callable[..., list[Scored]], colour_weights: Weights) -> None:
    with pytest.raises(WeightsError, match="another architecture"):
        score(colour_weights, model="test_resnet")


def test_a_missing_folder_is_refused(score: Callable[..., list[Scored]], colour_weights: Weights) -> None:
    with pytest.raises(DataError, match="/no/such/folder does not exist"):
        score(colour_weights, root="/no/such/folder")
