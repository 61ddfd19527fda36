"""What tests of checks share: small baselines and runs, made without any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.baseline import BaselineRun, Change, ImageDigest, Machine
from dit_bench.runs.image_records import ImageRecords, save_image_records
from dit_bench.runs.provenance import collect_provenance
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore

CPU = Machine(device="cpu", processor="a CPU", accelerator=None, threads=1, torch="2.13.0")
GPU = Machine(device="cuda", processor="a CPU", accelerator="a GPU", threads=1, torch="2.13.0")
IMAGES = 40
DIGEST = ImageDigest(
    top1_hits=30,
    top5_hits=38,
    macs_sum=40_000_000,
    macs_largest=1_200_000,
    arrays={"records.label": "a" * 16, "records.prediction": "b" * 16, "records.macs": "c" * 16},
)


def change(reason: str = "first") -> Change:
    return Change(
        created_utc="2026-01-01T00:00:00+00:00",
        reason=reason,
        dit_bench_version="0.1.0",
        git_commit=None,
        git_dirty=None,
        machine=CPU,
        changes=[],
    )


def run_of(seed: int, **changes: Any) -> BaselineRun:
    """A run of forty images, of which thirty are right; its weights are its own."""
    metrics = {"top1_percent": 75.0, "gmacs_mean": 0.001, "params_total_m": 1.5, "train_seconds": 1.0 + seed}
    run = BaselineRun(
        seed=seed,
        run_id=f"x-seed{seed}",
        created_utc="2026-01-01T00:00:00+00:00",
        num_images=IMAGES,
        weights_sha256=f"weights {seed}",
        data_manifest_sha256="data",
        machine=CPU,
        metrics=metrics,
        images=DIGEST,
    )
    return run.model_copy(update={**changes, "metrics": {**metrics, **changes.get("metrics", {})}})


def image_records(rng: np.random.Generator) -> ImageRecords:
    """Forty images on a grid of two scales and two stages."""
    return ImageRecords(
        index=np.arange(IMAGES, dtype=np.int64),
        label=rng.integers(0, 10, IMAGES),
        prediction=rng.integers(0, 10, IMAGES),
        top5_hit=rng.random(IMAGES) < 0.9,
        macs=rng.integers(10**6, 10**7, IMAGES),
        kept=rng.integers(0, 5, (IMAGES, 2, 2)).astype(np.int32),
        tokens=np.array([4, 1], np.int32),
        columns=rng.random((IMAGES, 1, 3)) < 0.5,
        live=rng.random((IMAGES, 2, 2)) < 0.5,
    )


def publish(
    results: Path,
    settings: RunSettings,
    seed: int,
    metrics: dict[str, float],
    *,
    weights: str = "the same",
    records: ImageRecords | None = None,
) -> FinishedRun:
    """A finished run with these figures; an earlier one of the same settings and seed is kept."""
    record = RunRecord(
        run_id="",
        settings=settings,
        seed=seed,
        provenance=collect_provenance(
            device="cpu", threads=1, weights_sha256=f"{weights} {seed}", data_manifest_sha256="data"
        ),
        metrics=metrics,
        kept_ratio=[[1.0]],
        column_open_ratio=[],
        num_images=IMAGES,
    )
    with RunStore(results).begin(settings, seed, force=True) as folder:
        save_image_records(folder.path, records or image_records(np.random.default_rng(seed)))
        return folder.publish(record)
