"""Whether everything in a folder of runs is whole, however the processes that wrote it ended."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors import safe_open
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from dit_bench.models.weights import read_weights
from dit_bench.runs.atomic import ASIDE_PREFIX
from dit_bench.runs.epochs import load_epochs
from dit_bench.runs.image_records import load_image_records
from dit_bench.runs.read import EPOCHS_FILE, IMAGES_FILE, RECORD_FILE, STATE_FILE, WEIGHTS_FILE, list_runs, load_run

FINISHED = {RECORD_FILE, IMAGES_FILE, EPOCHS_FILE, WEIGHTS_FILE, "tensorboard"}


def check_results(root: Path) -> None:
    """Read every file of finished and of interrupted runs; raises if one is torn, or has no business there."""
    listing = list_runs(root)
    assert listing.damaged == []
    for run in listing.finished:
        # A process killed between giving a run its name and tidying up leaves the state of its training.
        assert {entry.name for entry in run.path.iterdir()} - {STATE_FILE} == FINISHED
        assert run.record.run_id == run.path.name
        content = run.weights_file.read_bytes()
        assert hashlib.sha256(content).hexdigest() == run.record.provenance.weights_sha256
        epochs = load_epochs(run)
        assert run.record.training == {key: value for key, value in epochs[-1].items() if key != "epoch"}
        assert len(load_image_records(run.path).index) == run.record.num_images
        shown = [step for file in (run.path / "tensorboard").iterdir() for step in _steps(file)]
        assert set(shown) == set(range(1, len(epochs) + 1)), "TensorBoard lacks epochs"
    for folder in listing.interrupted:
        names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(ASIDE_PREFIX)}
        assert names <= FINISHED | {STATE_FILE}
        if RECORD_FILE in names:
            load_run(folder)
        if IMAGES_FILE in names:
            load_image_records(folder)
        if WEIGHTS_FILE in names:
            read_weights(folder / WEIGHTS_FILE)
        logged = 0
        if STATE_FILE in names:
            with safe_open(folder / STATE_FILE, framework="pt") as state:
                logged = json.loads(state.metadata()["state"])["position"]["epochs_logged"]
                assert all(state.get_tensor(name) is not None for name in state.keys())  # noqa: SIM118 - no mapping
        if logged:
            lines = (folder / EPOCHS_FILE).read_text(encoding="utf-8").splitlines()
            assert [json.loads(line)["epoch"] for line in lines[:logged]] == list(range(1, logged + 1))


def _steps(file: Path) -> list[int]:
    """Epochs that an event file shows, up to where it is cut."""
    return [event.step for event in EventFileLoader(str(file)).Load() if event.HasField("summary")]
