"""Jobs of a Slurm that is made of stand-ins for its commands: submitted, out of time, requeued, finished."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dit_bench.cli.app import main
from tests.engine.cluster import fake_slurm
from tests.engine.cluster.conftest import signalling

pytest.importorskip("submitit")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the Slurm keeps its jobs."""
    home = tmp_path / "slurm"
    home.mkdir()
    fake_slurm.install(tmp_path / "bin")
    monkeypatch.setenv("FAKE_SLURM", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return home


def _command(recipe: str, tmp_path: Path, *further: str) -> list[str]:
    folders = ["--results", str(tmp_path / "results"), "--data-dir", str(tmp_path / "scenes")]
    cluster = ["--cluster", "slurm", "--partition", "vision", "--cpus", "1", "--poll", "0.2"]
    return ["ablate", recipe, "--profile", "smoke", "--row", "good", "--device", "cpu", *folders, *cluster, *further]


def test_a_job_whose_time_is_up_saves_and_goes_back_into_the_queue(
    recipe: str, tmp_path: Path, slurm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    with signalling(results, signal.SIGUSR2, lambda folder: (folder / "epochs.jsonl").exists()):
        assert main(_command(recipe, tmp_path, "--time-min", "60", "--slurm", "account=us")) == 0
    err = capfd.readouterr().err
    assert "restart" not in err
    assert "finished pvt_v2_nano" in err
    assert (slurm / "1000.requeued").read_text() == "again\n"
    assert (slurm / "1000.state").read_text() == "COMPLETED"
    assert len(list(slurm.glob("*.state"))) == 1
    script = (slurm / "1000.sh").read_text().splitlines()
    for line in ("partition=vision", "time=60", "cpus-per-task=1", "nodes=1", "ntasks-per-node=1", "account=us"):
        assert f"#SBATCH --{line}" in script
    assert "#SBATCH --signal=USR2@120" in script
    (run,) = results.glob("*-seed0")
    assert len((run / "epochs.jsonl").read_text().splitlines()) == 6
    (log,) = (results / "jobs").glob("*/1000_0_log.out")
    assert "stopped" in log.read_text()
    assert "resuming in epoch" in log.read_text()


def test_what_slurm_refuses_is_told_in_its_own_words(
    recipe: str, tmp_path: Path, slurm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (slurm / "refuse").touch()
    assert main(_command(recipe, tmp_path)) == 2
    assert "Slurm refuses the job of pvt_v2_nano" in capfd.readouterr().err


def test_without_slurm_the_remedy_is_named(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(_command(recipe, tmp_path)) == 2
    assert "no srun on this machine — submit from a login node" in capfd.readouterr().err
