"""Recipes with a wrong type, unit, range or combination are refused at once, before torch is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.attempts import ROOT
from tests.faults.small_tables import ONE_ROW

SECONDS = 1.0
SETTINGS = "    settings: {model: {name: pvt_v2_nano}, routing: {variant: diagonal}}"

# Changed settings of the only row, and what the refusal says.
BAD = {
    # type
    "data: {train_images: many}": "data.train_images = 'many'",
    "data: {train_images: 1.5}": "data.train_images = 1.5",
    "data: {dataset: [digit_scenes]}": "data.dataset",
    "optimiser: {step_by: 3}": "optimiser.step_by = 3",
    "numerics: {compile: maybe}": "numerics.compile = 'maybe'",
    "routing: {columns: 4}": "routing.columns = 4",
    "routing: {gate: dense}": "routing.gate: must be a mapping",
    "model: pvt_v2_b2": "model: must be a mapping",
    # unit
    "data: {image_size_px: 64px}": "data.image_size_px = '64px'",
    "data: {eval_crop_fraction: 87.5}": "data.eval_crop_fraction = 87.5",
    "model: {drop_path_rate: 10}": "model.drop_path_rate = 10",
    "optimiser: {warmup_epochs: 5 epochs}": "optimiser.warmup_epochs = '5 epochs'",
    "routing: {open_fraction: 40}": "routing.open_fraction = 40",
    # range
    "optimiser: {lr: 0}": "optimiser.lr = 0",
    "optimiser: {lr: -1.0e-3}": "optimiser.lr = -0.001",
    "optimiser: {lr: .nan}": "optimiser.lr: '.nan' is not a finite number",
    "optimiser: {lr: .inf}": "optimiser.lr: '.inf' is not a finite number",
    "optimiser: {batch_size: 0}": "optimiser.batch_size = 0",
    "optimiser: {beta2: 1.5}": "optimiser.beta2 = 1.5",
    "augment: {label_smoothing: 1.0}": "augment.label_smoothing = 1.0",
    "data: {val_images: 0}": "data.val_images = 0",
    "routing: {columns: [0, -1]}": "routing.columns[1] = -1",
    "detection: {short_sides_px: []}": "detection.short_sides_px",
    # one of several names
    "data: {dataset: coc}": "did you mean 'coco'?",
    "routing: {variant: dinamic}": "did you mean 'dynamic'?",
    "numerics: {amp: fp61}": "did you mean 'fp16'?",
    "task: detecton": "did you mean 'detection'?",
    # combinations that nothing can satisfy
    "data: {min_scale: 0.9, max_scale: 0.5}": "min_scale is larger than max_scale",
    "optimiser: {epochs: 3, warmup_epochs: 3}": "warmup_epochs must be smaller than epochs",
    "routing: {budget_ramp_start_fraction: 0.6, budget_ramp_end_fraction: 0.5}": "budget_ramp_end_fraction lies before",
    "routing: {open_fraction: 0.9, noise_end_fraction: 0.5}": "noise_end_fraction lies before open_fraction",
    "detection: {milestone_epochs: [5, 3]}": "milestone_epochs must increase",
    "detection: {max_long_side_px: 100}": "a short side is longer than max_long_side_px",
    "segmentation: {warmup_updates: 10, updates: 10}": "warmup_updates must be smaller than updates",
    "segmentation: {min_resize_factor: 3.0, max_resize_factor: 2.0}": "min_resize_factor is larger",
}
MANY = """
import contextlib, io, json, sys, time
answers = []
for file in sys.argv[1:]:
    start, said = time.process_time(), io.StringIO()
    from dit_bench.cli.app import main
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(["show", file, "--profile", "smoke"])
    answers.append([code, time.process_time() - start, out.getvalue(), said.getvalue()])
heavy = [name for name in ("torch", "timm", "torchvision", "sklearn") if name in sys.modules]
print(json.dumps([answers, heavy]))
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, float, str, str]]:
    """Exit code, processor seconds, standard output and error for each recipe, all in one process of its own."""
    folder = tmp_path_factory.mktemp("recipes")
    assert SETTINGS in ONE_ROW
    for number, settings in enumerate(BAD):
        text = ONE_ROW.replace(SETTINGS, f"    settings:\n      {settings}")
        (folder / f"{number:02}.yaml").write_text(text, encoding="utf-8")
    files = [str(file) for file in sorted(folder.iterdir())]
    done = subprocess.run([sys.executable, "-c", MANY, *files], cwd=ROOT, capture_output=True, text=True, check=True)
    answers, heavy = json.loads(done.stdout)
    assert heavy == [], "a refusal does not need these"
    return dict(zip(BAD, answers, strict=True))


@pytest.mark.parametrize("settings", BAD)
def test_bad_settings(settings: str, refusals: dict[str, tuple[int, float, str, str]]) -> None:
    code, seconds, out, err = refusals[settings]
    assert code == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert BAD[settings] in err, err
    number = list(BAD).index(settings)
    assert f"{number:02}.yaml:" in err, "the file and line are named"
    assert seconds < SECONDS


def test_the_recipe_that_was_changed_is_a_good_one(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(ONE_ROW, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path / "good.yaml")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)[0][0][0] == 0
