"""A finished run in a folder of its own, for everything that reads such folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.provenance import collect_provenance
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore

WEIGHTS = b"weights"


def publish_run(root: Path, settings: RunSettings, seed: int, metrics: dict[str, float]) -> FinishedRun:
    """A run with these figures, whose weights are those of its record; a repeat where there is one."""
    provenance = collect_provenance(
        device="cpu", threads=1, weights_sha256=hashlib.sha256(WEIGHTS).hexdigest(), data_manifest_sha256="da7a"
    )
    record = RunRecord(
        run_id="",
        settings=settings,
        seed=seed,
        provenance=provenance,
        metrics=metrics,
        kept_ratio=[[1.0]],
        column_open_ratio=[],
        num_images=4,
        training={"loss": 0.5},
    )
    with RunStore(root).begin(settings, seed, force=True) as run:
        (run.path / "weights.safetensors").write_bytes(WEIGHTS)
        return run.publish(record)
