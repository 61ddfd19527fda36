"""`dit-bench export` writes the scenes in a layout that its usual reader reads."""

import json
from pathlib import Path

import pytest

from dit_bench.cli.app import main

TINY = ["data.train_images=6", "data.tune_images=3", "data.val_images=4", "data.image_size_px=48"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIT_BENCH_CACHE", str(tmp_path / "cache"))


def test_coco(tmp_path: Path) -> None:
    target = tmp_path / "scenes"
    assert main(["export", "coco", str(target), *TINY]) == 0
    annotations = json.loads((target / "annotations" / "instances_val2017.json").read_text())
    assert len(annotations["images"]) == 4
    assert len(list((target / "train2017").iterdir())) == 6
    assert main(["export", "coco", str(target), *TINY]) == 2, "nothing is overwritten"


@pytest.mark.parametrize("wrong", ["data.train_image=6", "optimiser.lr=1e-3", "data.clutter=-1", "data.min_scale=0.95"])
def test_wrong_settings_are_refused(tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "ade20k", str(tmp_path / "scenes"), wrong]) == 2
    assert wrong.partition("=")[0].partition(".")[2] in capsys.readouterr().err
    assert not (tmp_path / "scenes").exists()
