"""`dit-bench plot`: detections, and the figures of the PVT paper that need no run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from tests.cli.conftest import TrainedRun

Run = Callable[..., tuple[int, str, str]]


def test_detections_on_pictures_of_the_data_set(trained_detector: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    target = tmp_path / "found.png"
    arguments = [*trained_detector.arguments, "--count", "1", "--min-score", "0.2", "--out", str(target)]
    code, out, err = outcome("plot", "detections", *arguments)
    assert (code, out) == (0, ""), err
    assert f"drawing {trained_detector.run.name} (Mask R-CNN, DiT-B2 (ours))" in err
    with Image.open(target) as picture:
        assert picture.size[0] == 2100
        assert picture.info["Title"] == "detections: dit/table4"
    code, _, err = outcome("plot", "detections", *arguments)
    assert code == 2
    assert "exists" in err


def test_detections_on_a_picture_of_the_user(trained_detector: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    mine, target = tmp_path / "mine.jpg", tmp_path / "found.svg"
    Image.effect_noise((90, 61), 80).convert("RGB").save(mine)
    shown = ["--image", str(mine), "--out", str(target), "--json"]
    code, out, err = outcome("plot", "detections", *trained_detector.arguments, *shown)
    assert code == 0, err
    assert json.loads(out) == {"figure": "detections", "path": str(target)}
    assert target.read_text(encoding="utf-8").count("<svg") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["dit/table6"], 2, "dit/table6 detects nothing — name a recipe of detection"),
        (["dit/table4", "--image-size", "64"], 2, "--image-size: a detector resizes pictures as in its test"),
        (["dit/table4", "--min-score", "1.5"], 2, "--min-score"),
        (["dit/table4", "--profile", "smoke"], 3, "no finished run"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, said: str, tmp_path: Path, outcome: Run) -> None:
    target = tmp_path / "found.png"
    found = outcome("plot", "detections", *arguments, "--results", str(tmp_path), "--out", str(target))
    assert found[:2] == (code, "")
    assert said in found[2]
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("pvt/fig2", "tradeoff", "printed without the parameters that are not trained: ResNet18; ResNet50; ResNet101"),
        ("pvt/fig5", "curves", "no finished run: only what is printed of the end of the training is drawn"),
    ],
)
def test_figures_of_pvt_from_the_print_alone(name: str, kind: str, said: str, tmp_path: Path, outcome: Run) -> None:
    target = tmp_path / "figure.png"
    command = ("plot", name, "--profile", "paper", "--results", str(tmp_path), "--out", str(target), "--json")
    code, out, err = outcome(*command)
    assert code == 0, err
    document = json.loads(out)
    assert (document["figure"], document["path"]) == (kind, str(target))
    assert document["notes"][0].startswith(said)
    with Image.open(target) as picture:
        assert picture.info["Description"] == f"dit-bench plot {kind} {name} --profile paper"


def test_curves_of_a_finished_run(trained_detector: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    target = tmp_path / "curves.svg"
    code, _, err = outcome("plot", "curves", *trained_detector.arguments, "--out", str(target))
    assert code == 0, err
    assert "over the epochs: the training loss; runs are evaluated once" in err
    assert target.is_file()
