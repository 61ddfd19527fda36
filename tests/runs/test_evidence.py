"""Finished runs as evidence: those with the same settings together, on the same kind of device only."""

from __future__ import annotations

from pathlib import Path

from dit_bench.recipes.settings import ModelSettings, RunSettings
from dit_bench.runs.evidence import gather_evidence, same_settings
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore


def _publish(root: Path, record: RunRecord, seed: int, seconds: float, device: str = "cpu", weights: int = 0) -> None:
    with RunStore(root).begin(record.settings, seed) as folder:
        (folder.path / "weights.safetensors").write_bytes(bytes(weights))
        changed = {"seed": seed, "metrics": {"train_seconds": seconds}}
        changed["provenance"] = record.provenance.model_copy(update={"device": device})
        folder.publish(record.model_copy(update=changed))


def test_runs_are_gathered_by_settings_and_device(tmp_path: Path, record: RunRecord) -> None:
    other = record.model_copy(update={"settings": RunSettings(model=ModelSettings(name="dit_nano"))})
    for seed, seconds in enumerate((10.0, 90.0, 20.0)):
        _publish(tmp_path, record, seed, seconds, weights=1000)
    _publish(tmp_path, record, 7, 1.0, device="cuda:0")
    _publish(tmp_path, other, 0, 5.0)
    evidence = gather_evidence(tmp_path, "cpu")
    assert sorted(len(group.runs) for group in evidence) == [1, 3]
    same = same_settings(evidence, record.settings)
    assert same is not None
    assert same.figure("train_seconds") == 20.0
    assert same.figure("eval_seconds") is None
    assert same.disk_bytes - same.records_bytes == 1000
    assert same.records_bytes == (same.runs[0].path / "run.json").stat().st_size
    assert same_settings(evidence, RunSettings(model=ModelSettings(name="dit_midi"))) is None
    assert [len(group.runs) for group in gather_evidence(tmp_path, "cuda")] == [1]
    assert gather_evidence(tmp_path / "nowhere", "cpu") == []
