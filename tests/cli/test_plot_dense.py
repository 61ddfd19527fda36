"""`dit-bench plot` of segments and of pruned tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.cli.conftest import refused

if TYPE_CHECKING:
    from tests.cli.conftest import TrainedRun

Run = Callable[..., tuple[int, str, str]]


def test_segments_on_pictures_of_the_data_set(trained_segmenter: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    target = tmp_path / "segments.png"
    arguments = [*trained_segmenter.arguments, "--count", "1", "--out", str(target)]
    code, out, err = outcome("plot", "segments", *arguments)
    assert (code, out) == (0, ""), err
    assert f"drawing {trained_segmenter.run.name} (DiT-B2 (ours))" in err
    with Image.open(target) as picture:
        assert picture.size[0] == 2100
        assert picture.info["Title"] == "segments: dit/table5"
    refused(outcome("plot", "segments", *arguments), 2, "exists")


def test_segments_on_a_picture_of_the_user(trained_segmenter: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    mine, target = tmp_path / "mine.jpg", tmp_path / "segments.svg"
    Image.effect_noise((90, 61), 80).convert("RGB").save(mine)
    shown = ["--image", str(mine), "--out", str(target), "--json"]
    code, out, err = outcome("plot", "segments", *trained_segmenter.arguments, *shown)
    assert code == 0, err
    assert json.loads(out) == {"figure": "segments", "path": str(target)}
    text = target.read_text(encoding="utf-8")
    assert text.count("<svg") == 1
    assert "mine.jpg" in text
    assert "pixels right" not in text, "nothing is known of the picture"


def test_pruned_tokens_of_every_row_that_prunes(trained_pruners: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    target = tmp_path / "pruning.svg"
    arguments = [*trained_pruners.arguments, "--count", "1", "--out", str(target)]
    code, out, err = outcome("plot", "pruning", *arguments)
    assert (code, out) == (0, ""), err
    labels = ["+ DToP@Direct", "+ DToP@Finetune", "+ DToP@Retrain"]
    drawn = [line for line in err.splitlines() if line.startswith("drawing")]
    assert [line.partition("(")[2].rstrip(")") for line in drawn] == labels
    assert trained_pruners.run.name in drawn[1]
    text = target.read_text(encoding="utf-8")
    for label in labels:
        assert f"{label}: scene_" in text
    assert "left after layer 1" in text
    assert "of unpruned MACs" in text


def test_pruned_tokens_of_one_row(trained_pruners: TrainedRun, tmp_path: Path, outcome: Run) -> None:
    target = tmp_path / "pruning.png"
    row = ["--row", "finetune", "--count", "1", "--out", str(target)]
    code, _, err = outcome("plot", "pruning", *trained_pruners.arguments, *row)
    assert code == 0, err
    assert err.count("drawing ") == 1
    with Image.open(target) as picture:
        assert picture.info["Title"] == "pruning: dtop/table1"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["segments", "dit/table6"], 2, "dit/table6 segments nothing — name a recipe of segmentation"),
        (["segments", "dtop/table1"], 2, "dtop/table1 stands on plain ViTs — use dit-bench plot pruning dtop/table1"),
        (["segments", "dit/table5", "--image-size", "64"], 2, "--image-size: a segmenter resizes pictures"),
        (["segments", "dit/table5"], 3, "train it first: dit-bench train dit/table5 --row dit-b2 --profile mini"),
        (["pruning", "dit/table5"], 2, "dit/table5 prunes no tokens"),
        (["pruning", "dtop/table1", "--row", "baseline"], 2, "dtop/table1 prunes no tokens in baseline"),
        (["pruning", "--image-size", "64"], 2, "--image-size: a segmenter resizes pictures"),
        (["pruning"], 3, "train it first: dit-bench train dtop/fig4 --row finetune --profile mini"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, said: str, tmp_path: Path, outcome: Run) -> None:
    target = tmp_path / "figure.png"
    refused(outcome("plot", *arguments, "--results", str(tmp_path), "--out", str(target)), code, said)
    assert not target.exists()
