"""Reading run folders; a damaged one is reported and never stops a listing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dit_bench.errors import DataError
from dit_bench.recipes.metrics import MAIN_METRICS
from dit_bench.recipes.plugin_names import RECORDED
from dit_bench.recipes.problems import show_path
from dit_bench.runs.record import RunRecord
from dit_bench.runs.upgrade import RUN_RECORD, upgraded

RECORD_FILE = "run.json"
IMAGES_FILE = "records.npz"
EPOCHS_FILE = "epochs.jsonl"
WEIGHTS_FILE = "weights.safetensors"
STATE_FILE = "state.safetensors"
TENSORBOARD_FOLDER = "tensorboard"
PARTIAL_SUFFIX = ".partial"
SET_ASIDE_SUFFIX = ".set-aside"

_RUN_NAME = re.compile(r"^.+-[0-9a-f]{10}-seed\d+(-r\d+)?$")


@dataclass(frozen=True)
class FinishedRun:
    """A run folder that is complete and will not change."""

    path: Path
    record: RunRecord

    @property
    def images_file(self) -> Path:
        """Per-image arrays, see `dit_bench.runs.image_records`."""
        return self.path / IMAGES_FILE

    @property
    def weights_file(self) -> Path:
        """Weights at the end of training."""
        return self.path / WEIGHTS_FILE

    @property
    def epochs_file(self) -> Path:
        """One JSON object per epoch and line."""
        return self.path / EPOCHS_FILE


@dataclass
class RunListing:
    """What lies in a results folder."""

    finished: list[FinishedRun] = field(default_factory=list)
    damaged: list[tuple[Path, str]] = field(default_factory=list)
    """Folders that look like finished runs but cannot be read, with the reason."""
    interrupted: list[Path] = field(default_factory=list)
    """Folders of runs that were begun and not finished, or set aside by a forced new run."""


def load_record(path: Path) -> RunRecord:
    """Read the record of a run, given its folder or its run.json.

    Records of older versions are brought up to date. Raises DataError (exit 3) when it is missing, damaged or written
    by a newer dit-bench.
    """
    file = path / RECORD_FILE if path.is_dir() else path
    data = upgraded(_read_json(file), RUN_RECORD, file)
    try:
        return RunRecord.model_validate(data, context=RECORDED)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = show_path(tuple(problem["loc"]))
        raise DataError(f"{file}: damaged: {key}: {problem['msg']}", remedy="remove the folder and run again") from None


def load_run(folder: Path) -> FinishedRun:
    """Read a finished run; DataError when its folder is damaged."""
    return FinishedRun(folder, load_record(folder))


def run_folders(root: Path) -> list[Path]:
    """The folders that are called like finished runs, sorted by name, unread; none when `root` does not exist."""
    return [folder for folder in _folders(root) if _RUN_NAME.match(folder.name)]


def list_runs(root: Path) -> RunListing:
    """All runs of a results folder, sorted by name; empty when the folder does not exist."""
    listing = RunListing()
    for folder in _folders(root):
        if folder.name.endswith(PARTIAL_SUFFIX) or SET_ASIDE_SUFFIX in folder.name:
            listing.interrupted.append(folder)
        elif _RUN_NAME.match(folder.name):
            try:
                listing.finished.append(load_run(folder))
            except DataError as error:
                listing.damaged.append((folder, error.message))
    return listing


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{root}: cannot be read: {error.strerror}", remedy="name a folder of runs") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file}: no such file", remedy="name the folder of a finished run") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise DataError(f"{file}: damaged: not valid JSON", remedy="remove the folder and run again") from None
    if not isinstance(data, dict):
        raise DataError(f"{file}: damaged: not a JSON object", remedy="remove the folder and run again")
    return data


def run_summary(run: FinishedRun) -> dict[str, Any]:
    """What a list of runs says about one; figures that the run lacks are None."""
    record = run.record
    return {
        "run": run.path.name,
        "model": record.settings.model.name,
        "variant": record.settings.routing.variant,
        "seed": record.seed,
        "task": record.settings.task,
        **{metric: record.metrics.get(metric) for metric in MAIN_METRICS.values()},
        "gmacs_mean": record.metrics.get("gmacs_mean"),
        "created_utc": record.provenance.created_utc,
    }
