"""Plug-ins from the command line: listed without an import, trained, evaluated, counted, blamed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dit_bench import plugins
from tests.cli.conftest import refused

Outcome = Callable[..., tuple[int, str, str]]
TINY = ["data.train_images=32", "data.val_images=8", "optimiser.batch_size=16", "data.image_size_px=32"]


def train(outcome: Outcome, recipe: Path, row: str, folder: Path, *settings: str) -> tuple[int, str, str]:
    torch.set_num_threads(1)
    folders = ["--results", str(folder / "runs"), "--data-dir", str(folder / "scenes"), "--device", "cpu"]
    return outcome("train", str(recipe), "--row", row, "--profile", "smoke", *settings, *folders, "--json")


def test_the_list_names_group_package_version_and_origin(example_package: Path, outcome: Outcome) -> None:
    code, out, _ = outcome("list", "--plugins")
    heading, *lines = [line.split("\t") for line in out.splitlines()]
    assert (code, heading) == (0, ["group", "name", "package", "version", "origin"])
    assert lines[0] == ["dit_bench.models", "tiny_cnn", "dit-bench-example", "0.1.0", "example_plugin.models:tiny_cnn"]
    assert [line[1] for line in lines] == ["tiny_cnn", "two_layers", "stripes", "calibration"]
    assert [entry["name"] for entry in json.loads(outcome("list", "--plugins", "--json")[1])] == [
        line[1] for line in lines
    ]


def test_two_lists_at_once_are_refused(outcome: Outcome) -> None:
    refused(outcome("list", "--plugins", "--runs"), 2, "--runs and --plugins are two lists")


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--plugins"], ["show", "dit/table6"]])
def test_no_package_and_no_torch_is_imported_to_look_around(example_folders: list[Path], arguments: list[str]) -> None:
    code = (
        "import sys\nfrom dit_bench.cli.app import main\n"
        f"code = main({arguments!r})\n"
        "print('imported', sorted({'torch', 'timm', 'example_plugin'} & set(sys.modules)), code)"
    )
    path = os.pathsep.join(map(str, [*example_folders, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "imported [] 0"
    assert ("tiny_cnn" in done.stdout) == ("--plugins" in arguments)


def test_a_model_a_data_set_and_a_metric_in_one_run(
    example_package: Path, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = example_package / "tiny.yaml"
    code, out, err = train(outcome, recipe, "calibrated", tmp_path, *TINY)
    assert code == 0, err
    (run,) = json.loads(out)
    assert run["provenance"]["plugins"] == {"dit-bench-example": "0.1.0"}
    assert 0 <= run["metrics"]["calibration.ece_percent"] <= 100
    assert 50 <= run["metrics"]["calibration.confidence_percent"] <= 100
    # 8x8 and 4x4 cells; two classes.
    assert run["metrics"]["gmacs_mean"] * 1e9 == 8 * 8 * 8 * 27 + 4 * 4 * 16 * 72 + 16 * 2
    where = ["--profile", "smoke", *TINY, "--results", str(tmp_path / "runs"), "--row", "calibrated"]
    figures = dict(line.split("\t")[1:] for line in outcome("eval", str(recipe), *where)[1].splitlines())
    assert float(figures["calibration.ece_percent"]) == pytest.approx(
        run["metrics"]["calibration.ece_percent"], rel=1e-4
    )
    # The record stays readable where the package is not installed.
    monkeypatch.setattr(plugins, "_installed", lambda kind, path: ())
    code, out, _ = outcome("list", "--runs", "--results", str(tmp_path / "runs"))
    assert (code, len(out.splitlines())) == (0, 2)
    assert outcome("eval", str(recipe), *where)[0] == 2


def test_a_gate_is_trained_and_counted(example_package: Path, outcome: Outcome, tmp_path: Path) -> None:
    recipe = example_package / "tiny.yaml"
    code, out, err = train(outcome, recipe, "gated", tmp_path, *TINY, "optimiser.epochs=3", "routing.budget_weight=9")
    assert code == 0, err
    (run,) = json.loads(out)
    assert run["provenance"]["plugins"] == {"dit-bench-example": "0.1.0"}
    weights = next((tmp_path / "runs").glob("dit_nano-*")) / "weights.safetensors"
    assert b"grid.rows.gates.0_0.network.layers.0.weight" in weights.read_bytes()[:100_000]
    code, out, err = outcome("flops", str(recipe), "--row", "gated", "--profile", "smoke", "--audit", "--json")
    assert code == 0, err
    ledger, dispatched = json.loads(out)["audits"][0]["counters"][:2]
    assert ledger["macs"] == dispatched["macs"] > 0


def test_a_package_whose_network_fails_is_blamed_in_one_line(
    make_package: Callable[..., str], example_package: Path, outcome: Outcome, tmp_path: Path
) -> None:
    text = "from torch import nn\ndef make(num_classes, image_size): return Net()\nclass Net(nn.Linear):\n"
    text += "    def __init__(self): super().__init__(3, 2)\n"
    text += "    def forward(self, x): return super().forward(x.permute(0, 2, 3, 1))['logits']\n"
    make_package("failing", text, models={"failing": "make"})
    result = train(outcome, example_package / "tiny.yaml", "tiny", tmp_path, *TINY, "model.name=failing")
    refused(result, 2, "model 'failing' of failing 1.2.3 (dit_bench.models: failing:make): IndexError")
    assert "Traceback" not in result[2]


def test_what_cannot_be_imported_is_refused_before_any_work(
    make_package: Callable[..., str], example_package: Path, outcome: Outcome, tmp_path: Path
) -> None:
    make_package("unripe", "raise ImportError('built for another torch')", metrics={"unripe": "make"})
    result = train(outcome, example_package / "tiny.yaml", "tiny", tmp_path, *TINY, "evaluation.metrics=[unripe]")
    refused(
        result, 2, "metric 'unripe' of unripe 1.2.3 (dit_bench.metrics: unripe:make): ImportError: built for another"
    )
    assert not (tmp_path / "runs").exists()
    assert importlib.util.find_spec("unripe") is not None
