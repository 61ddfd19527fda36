"""Each run a process of this machine: one killed and restarted, one failing by a mistake, the result the same."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from dit_bench.cli.app import main
from tests.engine.cluster.conftest import signalling

pytest.importorskip("submitit")
TIMES = ("eval_seconds", "train_seconds", "latency_ms_per_image")


def _record(results: Path) -> dict[str, Any]:
    (file,) = results.glob("*/run.json")
    return json.loads(file.read_text(encoding="utf-8"))


def test_a_killed_job_starts_again_and_a_wrong_row_fails_alone(
    recipe: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    common = ["ablate", recipe, "--profile", "smoke", "--data-dir", str(tmp_path / "scenes"), "--device", "cpu"]
    common += ["--threads", "1", "--json"]
    results = tmp_path / "jobs_results"
    cluster = ["--results", str(results), "--cluster", "local", "--max-jobs", "2", "--poll", "0.2"]
    with signalling(results, signal.SIGKILL, lambda folder: (folder / "state.safetensors").exists()):
        assert main([*common, *cluster]) == 3
    out, err = capfd.readouterr()
    table = json.loads(out)
    assert "restart pvt_v2_nano" in err
    assert "crashed: " in err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "nowhere.safetensors" in errors[0]
    log = Path(errors[0].partition("log: ")[2])
    assert log.is_relative_to(results / "jobs")
    assert "error: nowhere.safetensors" in log.read_text(encoding="utf-8")
    assert "1 of 2 runs failed" in errors[1]

    plain = tmp_path / "plain_results"
    assert main([*common, "--results", str(plain), "--row", "good"]) == 0
    assert [row["id"] for row in json.loads(capfd.readouterr().out)["rows"]] == [row["id"] for row in table["rows"]]
    ours, theirs = _record(results), _record(plain)
    for record in (ours, theirs):
        for name in TIMES:
            record["metrics"].pop(name, None)
        record["metrics"] = {name: value for name, value in record["metrics"].items() if "latency" not in name}
    assert ours["metrics"] == theirs["metrics"]
    assert ours["provenance"]["weights_sha256"] == theirs["provenance"]["weights_sha256"]

    # The same command again, for the good row, finds it and submits nothing.
    assert main([*common, *cluster, "--row", "good"]) == 0
    again = capfd.readouterr().err
    assert "found pvt_v2_nano" in again
    assert "queued" not in again
