"""Options of the command line as lines of a batch script, which submitit itself writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dit_bench.engine.cluster.request import ClusterRequest
from dit_bench.engine.cluster.slurm_parameters import parse_slurm_options, slurm_parameters
from dit_bench.errors import UsageError

pytest.importorskip("submitit")


def _script(request: ClusterRequest) -> list[str]:
    from submitit.slurm.slurm import _make_sbatch_string

    return _make_sbatch_string(command="x", folder=Path("/f"), **slurm_parameters(request)).splitlines()


def test_every_option_reaches_the_batch_script() -> None:
    given = ("account=vision", "--licenses=a:2", "signal_delay_s=300", "setup=module load cuda", "exclusive", "qos=low")
    request = ClusterRequest(
        cluster="slurm", partition="gpu", cpus=8, gpus=1, mem_gb=3.5, slurm=parse_slurm_options(given)
    )
    script = _script(request)
    for line in ("partition=gpu", "cpus-per-task=8", "gpus-per-node=1", "mem=3584MB", "account=vision", "qos=low"):
        assert f"#SBATCH --{line}" in script
    assert "#SBATCH --licenses=a:2" in script
    assert "#SBATCH --signal=USR2@300" in script
    assert "#SBATCH --exclusive" in script
    assert "module load cuda" in script


def test_what_is_not_asked_for_is_left_to_the_cluster() -> None:
    script = "\n".join(_script(ClusterRequest(cluster="slurm")))
    for word in ("partition", "cpus", "gpus", "mem", "account"):
        assert word not in script
    assert "--signal=USR2@120" in script


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("time=5", "--time-min"),
        ("gpus-per-node=2", "--gpus"),
        ("dependency=afterok:1", "set by dit-bench"),
        ("bad key=1", "not the name"),
        ("=1", "not the name"),
    ],
)
def test_options_that_belong_elsewhere_are_refused(option: str, words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_slurm_options((option,))
    assert words in str(refusal.value)


def test_wrong_values_are_refused() -> None:
    with pytest.raises(UsageError, match="whole number"):
        slurm_parameters(ClusterRequest(cluster="slurm", slurm={"signal_delay_s": "soon"}))
    with pytest.raises(UsageError, match="twice"):
        parse_slurm_options(("qos=a", "qos=b"))
