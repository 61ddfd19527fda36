"""Networks that were trained for a second, for the verbs that need some."""

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
class TrainedRun:
    """A finished run, and the command line that names it, or its recipe's rows."""

    run: Path
    recipe: str
    row: str
    scenes: Path
    """Cache of the drawn scenes."""
    arguments: list[str]
    """Recipe, row if it is one, profile, settings, folders."""

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
def trained_detector(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Mask R-CNN on the smallest DiT, after four updates."""
    return _trained(tmp_path_factory, "detection", "dit/table4", "mask-rcnn-dit-b2", ["detection.regions_per_image=16"])


@pytest.fixture(scope="session")
def trained_segmenter(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Semantic FPN on the smallest DiT, after four updates."""
    settings = ["segmentation.updates=4", "segmentation.warmup_updates=1"]
    return _trained(tmp_path_factory, "segmentation", "dit/table5", "dit-b2", settings)


@pytest.fixture(scope="session")
def trained_pruners(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """The four rows of DToP's Table 1 after two updates, at a threshold that heads reach; one of the runs."""
    settings = ["segmentation.updates=2", "segmentation.warmup_updates=1", "pruning.finetune_updates=2"]
    threshold = ["pruning.threshold=0.05", "pruning.train_threshold=0.05"]
    return _trained(tmp_path_factory, "segmentation", "dtop/table1", None, [*settings, *threshold])


def _trained(
    tmp_path_factory: pytest.TempPathFactory, task: str, recipe: str, row: str | None, settings: list[str]
) -> TrainedRun:
    """Trains rows of profile smoke on a handful of scenes; of several, `row` and `run` are those of the fine-tuned."""
    torch.set_num_threads(1)
    results, scenes = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("scenes")
    data = ["data.train_images=16", "data.tune_images=2", "data.val_images=4"]
    folders = ["--results", str(results), "--data-dir", str(scenes), "--device", "cpu"]
    arguments = [recipe, *([] if row is None else ["--row", row]), "--profile", "smoke", *data, *settings, *folders]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"dit_bench.engine.{task}_jobs.LATENCY_IMAGES", 1)
        assert main(["train", *arguments]) == 0
    found = {file.parent: json.loads(file.read_text(encoding="utf-8")) for file in results.glob("*/run.json")}
    wanted = [run for run, record in found.items() if row or record["settings"]["pruning"]["mode"] == "finetune"]
    assert len(wanted) == 1
    return TrainedRun(wanted[0], recipe, row or "finetune", scenes, arguments)


def refused(result: tuple[int, str, str], code: int, *parts: str) -> None:
    """Assert that a command printed nothing but one error, which has all `parts`."""
    assert result[:2] == (code, ""), result[2]
    errors = [line for line in result[2].splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result[2]
    for part in parts:
        assert part in errors[0]
