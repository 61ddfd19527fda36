"""From finished runs to what a baseline keeps of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dit_bench.recipes.identity import hash10
from dit_bench.recipes.partial import flat
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.arrays import read_arrays
from dit_bench.runs.baseline import BaselineRow, BaselineRun, ImageDigest
from dit_bench.runs.baseline_files import machine_of
from dit_bench.runs.read import FinishedRun

TRUTH_ARRAYS = ("records.index", "records.label", "segmentation.index", "segmentation.truth", "detections.images")
"""What is true of the images whatever a network says about them."""
_DIGITS = 16


def baseline_run(run: FinishedRun) -> BaselineRun:
    """What a baseline keeps of a run; DataError when its per-image records are damaged."""
    record = run.record
    return BaselineRun(
        seed=record.seed,
        run_id=record.run_id,
        created_utc=record.provenance.created_utc,
        num_images=record.num_images,
        weights_sha256=record.provenance.weights_sha256,
        data_manifest_sha256=record.provenance.data_manifest_sha256,
        evaluation_manifest_sha256=record.provenance.evaluation_manifest_sha256,
        machine=machine_of(record.provenance),
        metrics=dict(sorted(record.metrics.items())),
        images=image_digest(run),
    )


def baseline_row(settings: RunSettings, runs: Sequence[FinishedRun]) -> BaselineRow:
    """The runs of a row, one per seed."""
    return BaselineRow(
        settings_hash=hash10(settings), settings=changed_settings(settings), runs=[baseline_run(run) for run in runs]
    )


def changed_settings(settings: RunSettings) -> dict[str, JsonValue]:
    """Settings that are not the defaults, by dotted key."""
    plain = flat(RunSettings())
    return {".".join(path): value for path, value in flat(settings).items() if value != plain[path]}


def image_digest(run: FinishedRun) -> ImageDigest | None:
    """Counts and hashes of the per-image arrays that lie in a run's folder; None if there are none."""
    files = sorted(run.path.glob("*.npz"))
    arrays = {f"{file.stem}.{name}": array for file in files for name, array in read_arrays(file, dict).items()}
    if "records.macs" not in arrays:
        return None
    macs, label = arrays["records.macs"], arrays.get("records.label")
    return ImageDigest(
        top1_hits=None if label is None else int((arrays["records.prediction"] == label).sum()),
        top5_hits=None if label is None else int(arrays["records.top5_hit"].sum()),
        macs_sum=int(macs.sum()),
        macs_largest=int(macs.max()),
        arrays={name: array_digest(array) for name, array in sorted(arrays.items())},
    )


def array_digest(array: NDArray[np.generic]) -> str:
    """The beginning of the SHA-256 over type, shape and little-endian content."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{plain.dtype.str} {plain.shape}\n".encode() + plain.tobytes()).hexdigest()[:_DIGITS]
