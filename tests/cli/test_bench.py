"""`dit-bench bench` as a user meets it, with times that are made up: what is printed, written and refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from dit_bench.cli import bench
from dit_bench.cli.app import main


@pytest.fixture
def made_up_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network takes the same time, and nothing is run for it."""
    monkeypatch.setattr("dit_bench.engine.benchmark.stopwatch_of", lambda device: lambda run: 0.5)


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["bench", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


SMALL = ("dit_nano", "--image-size", "32x64", "--device", "cpu", "--rounds", "6")


def test_choices_are_those_of_the_engine() -> None:
    from dit_bench.cost.latency import FEWEST_ROUNDS
    from dit_bench.engine.bench_networks import BASELINES, Against
    from dit_bench.engine.bench_networks import Path as NodePath
    from dit_bench.recipes.settings import NumericsSettings

    assert get_args(Against) == tuple(BASELINES) == bench.AGAINST_CHOICES
    assert get_args(NodePath) == bench.PATH_CHOICES
    assert get_args(NumericsSettings.model_fields["amp"].annotation) == bench.AMP_CHOICES
    assert bench.FEWEST_ROUNDS == FEWEST_ROUNDS


def test_one_command_gives_table_files_and_plot(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, made_up_times: None
) -> None:
    table, plot = tmp_path / "bench.csv", tmp_path / "bench.svg"
    options = ("--batch", "2", "--keep", "0.5", "--keep", "1", "--against", "pvt", "--against", "masked", "--counting")
    code, out, err = _run(capsys, *SMALL, *options, "--out", str(table), "--plot", str(plot))
    assert code == 0, err
    lines = [line.split("\t") for line in out.splitlines()]
    assert [(line[3], line[4]) for line in lines[1:5]] == [
        ("0.50 ± 0.00", "pvt, eager"),
        ("0.50 ± 0.00", "masked, eager"),
        ("1.00 ± 0.00", "pvt, eager"),
        ("1.00 ± 0.00", "masked, eager"),
    ]
    assert {line[12] for line in lines[1:5]} == {"within noise"}
    assert lines[5][-2:] == ["overhead % [95 %]", "verdict"]
    assert [line[6] for line in lines[6:]] == ["0.0 [0.0, 0.0]"] * 2
    assert "timing dit_nano at 32x64, batch 2, kept 0.5" in err
    assert "threads: " in err
    with table.open(encoding="utf-8", newline="") as file:
        assert [row["keep"] for row in csv.DictReader(file)] == ["0.5", "0.5", "1.0", "1.0"]
    assert "real = ideal" not in out
    assert plot.read_text(encoding="utf-8").startswith("<?xml")
    code, out, err = _run(capsys, *SMALL, "--out", str(table))
    assert (code, out, "exists" in err) == (2, "", True)


def test_json_keeps_standard_output_clean(capsys: pytest.CaptureFixture[str], made_up_times: None) -> None:
    case = ("--batch", "2", "--keep", "0.5", "--spread", "0.5", "--path", "fully", "--seed", "3")
    code, out, _ = _run(capsys, *SMALL, *case, "--json")
    assert code == 0
    document = json.loads(out)
    (comparison,) = document["comparisons"]
    assert comparison["name"] == "dit_nano, fully"
    assert comparison["ours"]["seconds"] == [0.5] * 6
    # Images keep 3/8 and 5/8; the smallest maps have only two tokens to choose from.
    assert comparison["kept_sd"] > 0.08
    assert comparison["ideal_speed_up"] < 1
    assert document["provenance"]["device"] == "cpu"
    assert document["compile"] is False
    assert document["precision"] == "fp32"


def test_defaults_are_named_in_the_help(capsys: pytest.CaptureFixture[str], made_up_times: None) -> None:
    code, out, _ = _run(capsys, *SMALL, "--json")
    assert code == 0
    found = [(line["batch"], line["keep"], line["baseline"]["network"]) for line in json.loads(out)["comparisons"]]
    assert found == [(batch, keep, "pvt") for batch in (1, 8) for keep in (0.25, 0.5, 0.75)]
    help_text = " ".join(_run(capsys, "--help")[1].split())
    assert "[default: 1, 8]" in help_text
    assert "[default: 0.25, 0.5, 0.75]" in help_text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dit_b22"], "did you mean 'dit_b2'"),
        (["dit/tabel6"], "did you mean 'dit/table6'"),
        (["pvt_v2_b2"], "pvt_v2_b2 routes nothing — did you mean 'dit_b2'?"),
        (["dit_nano", "--row", "x"], "--row: dit_nano is a model"),
        (["dit_nano", "--profile", "mini"], "--profile: dit_nano is a model"),
        (["dit_nano", "model.name=x"], "model.name=x: dit_nano is a model"),
        (["dit_nano", "--seed", "1", "--seed", "2"], "--seed: 2 seeds are given"),
        (["dit_nano", "--image-size", "16"], "--image-size 16x16: too small for dit_nano"),
        (["dit_nano", "--rounds", "5"], "Invalid value for '--rounds'"),
        (["dit_nano", "--keep", "1.5"], "Invalid value for '--keep'"),
        (["dit_nano", "--against", "dens"], "Invalid value for '--against'"),
        (["dit_nano", "--out", "bench.tex"], "unknown format '.tex'"),
        (["dit_nano", "--plot", "bench.csv"], "unknown format '.csv'"),
        (["dit_nano", "--device", "gpu"], "--device gpu"),
        (["dit/table6", "--keep", "0.5"], "--keep: dit/table6 is a recipe"),
        (["dit_nano", "--amp", "fp16", "--device", "cpu"], "numerics.amp=fp16 needs a CUDA device"),
        (["dit/table6", "--amp", "bf16"], "--amp: dit/table6 is a recipe"),
        (["dit/table6", "--path", "gated"], "--path: dit/table6 is a recipe"),
        (["dit/table6", "--spread", "0"], "--spread: dit/table6 is a recipe"),
        (["dit/table6", "--image-size", "64"], "--image-size: dit/table6 is a recipe"),
        (["dit/table6", "--row", "dynamik"], "did you mean 'dynamic'"),
        (["pvt/table2", "--row", "r18", "--profile", "paper"], "nothing is routed in r18 (resnet18)"),
    ],
    ids=" ".join,
)
def test_slips_are_refused_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, out, err = _run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


def test_untrained_rows_say_how_to_train_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = _run(capsys, "dit/table6", "--row", "dynamic", "--results", str(tmp_path))
    assert (code, out) == (3, "")
    assert "train it first: dit-bench train dit/table6 --row dynamic --profile mini" in err


def test_without_a_compiler_nothing_is_timed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> Callable[[], None]:
        raise RuntimeError("no compiler")

    monkeypatch.setattr("torch.compile", broken)
    code, out, err = _run(capsys, *SMALL, "--compile")
    assert (code, out) == (2, "")
    assert "--compile: torch cannot compile here: no compiler — use --no-compile" in err
