"""Records of runs that nobody executed, for tests of what reads them."""

from __future__ import annotations

from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.record import Provenance, RunRecord


def small_record(settings: RunSettings, seed: int, **metrics: float) -> RunRecord:
    """The record of a run on a CPU."""
    provenance = Provenance(
        created_utc="2024-05-01T10:00:00+00:00",
        dit_bench_version="0.1.0",
        git_commit=None,
        git_dirty=None,
        argv=[],
        python="3.11.0",
        platform="Linux",
        packages={},
        device="cpu",
        processor="a CPU",
        accelerator=None,
        threads=1,
        weights_sha256=None,
        data_manifest_sha256=None,
    )
    return RunRecord(
        run_id="unpublished",
        settings=settings,
        seed=seed,
        provenance=provenance,
        metrics=metrics,
        kept_ratio=[],
        column_open_ratio=[],
        num_images=1,
    )
