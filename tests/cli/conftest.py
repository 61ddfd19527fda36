"""A detector that was trained for a second, for the verbs that need one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from dit_bench.cli.app import main


@dataclass(frozen=True)
class TrainedDetector:
    """A finished run, and the command line that names it."""

    run: Path
    recipe: str
    row: str
    scenes: Path
    """Cache of the drawn scenes."""
    arguments: list[str]
    """Recipe, row, profile, settings, folders."""

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json."""
        return json.loads((self.run / "run.json").read_text(encoding="utf-8"))


@pytest.fixture
def outcome(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line; returns its exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def trained_detector(tmp_path_factory: pytest.TempPathFactory) -> TrainedDetector:
    """Mask R-CNN on the smallest DiT, after four updates."""
    torch.set_num_threads(1)
    results, recipe, row = tmp_path_factory.mktemp("runs"), "dit/table4", "mask-rcnn-dit-b2"
    settings = ["data.train_images=16", "data.tune_images=2", "data.val_images=4", "detection.regions_per_image=16"]
    scenes = tmp_path_factory.mktemp("scenes")
    folders = ["--results", str(results), "--data-dir", str(scenes), "--device", "cpu"]
    arguments = [recipe, "--row", row, "--profile", "smoke", *settings, *folders]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dit_bench.engine.detection_jobs.LATENCY_IMAGES", 1)
        assert main(["train", *arguments]) == 0
    (run,) = (file.parent for file in results.glob("*/run.json"))
    return TrainedDetector(run, recipe, row, scenes, arguments)
