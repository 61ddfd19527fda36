from __future__ import annotations

import numpy as np
import pytest

from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.image_records import ImageRecords
from dit_bench.runs.record import Provenance, RunRecord


@pytest.fixture
def settings() -> RunSettings:
    return RunSettings()


@pytest.fixture
def record(settings: RunSettings) -> RunRecord:
    provenance = Provenance(
        created_utc="2024-05-01T10:00:00+00:00",
        dit_bench_version="0.1.0",
        git_commit=None,
        git_dirty=None,
        argv=["dit-bench", "train", "dit/table6"],
        python="3.11.0",
        platform="Linux",
        packages={"torch": "2.13.0"},
        device="cpu",
        processor="a CPU",
        accelerator=None,
        threads=2,
        weights_sha256="0" * 64,
        data_manifest_sha256=None,
    )
    return RunRecord(
        run_id="unpublished",
        settings=settings,
        seed=3,
        provenance=provenance,
        metrics={"top1_percent": 88.0, "gmacs_mean": 0.0097},
        kept_ratio=[[1.0, 0.5], [0.25, 0.0]],
        column_open_ratio=[[1.0, 0.0, 1.0]],
        num_images=1500,
    )


@pytest.fixture
def images() -> ImageRecords:
    random = np.random.default_rng(0)
    count, scales, stages = 50, 4, 4
    return ImageRecords(
        index=np.arange(count, dtype=np.int64),
        label=random.integers(0, 10, count),
        prediction=random.integers(0, 10, count),
        top5_hit=random.random(count) < 0.9,
        macs=random.integers(10**6, 10**7, count),
        kept=random.integers(0, 256, (count, scales, stages)).astype(np.int32),
        tokens=np.array([256, 64, 16, 4], dtype=np.int32),
        columns=random.random((count, scales - 1, stages + 1)) < 0.5,
        live=random.random((count, scales, stages)) < 0.5,
    )
