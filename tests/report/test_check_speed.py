from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dit_bench.recipes.tolerances import SpeedTolerance
from dit_bench.report.check_result import CheckLine
from dit_bench.report.check_speed import check_speed
from dit_bench.runs.baseline import SpeedBaseline
from dit_bench.runs.baseline_files import Measurement, load_measurement
from dit_bench.runs.baseline_update import renewed_speed
from tests.checked_runs import change

ROUNDS = 15
DEFAULT = SpeedTolerance()
MEASURED = Path(__file__).resolve().parents[2] / "results" / "performance" / "keep-b1.json"


def _document(factor: float = 1.0, **changes: Any) -> dict[str, Any]:
    """A measurement of one network; ratios 0.4 and a little more, times `factor`."""
    reference = [0.1 + 0.001 * k for k in range(changes.get("rounds", ROUNDS))]
    ours = [0.4 * factor * (1 + 0.001 * k) * seconds for k, seconds in enumerate(reference)]
    timed = {"form": "eager", "peak_bytes": 1}
    return {
        "schema_version": 1,
        "provenance": {
            "device": "cpu",
            "processor": changes.get("processor", "a CPU"),
            "accelerator": None,
            "threads": 1,
            "packages": {"torch": "2.13.0"},
        },
        "compile": changes.get("compile", False),
        "precision": changes.get("precision", "fp32"),
        "comparisons": [
            {
                "name": changes.get("name", "dit_b1"),
                "image_size_px": [224, 224],
                "batch": 8,
                "keep": changes.get("keep", 0.5),
                "spread": 0.3,
                "ours": {"network": "dit", "macs_per_image": changes.get("macs", 1e9), "seconds": ours, **timed},
                "baseline": {"network": "pvt", "macs_per_image": 2e9, "seconds": reference, **timed},
            }
        ],
    }


def _measurement(folder: Path, **changes: Any) -> Measurement:
    file = folder / "speed.json"
    file.write_text(json.dumps(_document(**changes)), encoding="utf-8")
    return load_measurement(file)


@pytest.fixture
def baseline(tmp_path: Path) -> SpeedBaseline:
    return renewed_speed(None, _measurement(tmp_path), change())


def _time(baseline: SpeedBaseline, *found: Measurement, tolerance: SpeedTolerance = DEFAULT) -> CheckLine:
    return next(line for line in check_speed(baseline, found, lambda _: tolerance) if line.metric == "time ratio")


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "holds"), (1.04, "holds"), (1.1, "regression"), (0.9, "better")])
def test_ten_percent_is_caught_and_four_are_not(
    baseline: SpeedBaseline, tmp_path: Path, factor: float, verdict: str
) -> None:
    line = _time(baseline, _measurement(tmp_path, factor=factor))
    assert line.verdict == verdict
    assert line.allowed == "±5 %, p < 0.002"


def test_the_threshold_is_the_recipes(baseline: SpeedBaseline, tmp_path: Path) -> None:
    found = _measurement(tmp_path, factor=1.1)
    assert _time(baseline, found, tolerance=SpeedTolerance(threshold_percent=20)).verdict == "holds"


def test_another_machine_is_not_compared_unless_asked(baseline: SpeedBaseline, tmp_path: Path) -> None:
    found = _measurement(tmp_path, factor=1.5, processor="another CPU")
    line = _time(baseline, found)
    assert line.verdict == "not compared"
    assert "another CPU" in line.note
    assert _time(baseline, found, tolerance=SpeedTolerance(across_machines=True)).verdict == "regression"


def test_what_was_not_measured_is_missing(baseline: SpeedBaseline, tmp_path: Path) -> None:
    assert _time(baseline).note == "no measurement given: --bench FILE.json"
    assert _time(baseline, _measurement(tmp_path, keep=0.25)).verdict == "missing"


@pytest.mark.parametrize("changes", [{"compile": True}, {"precision": "bf16"}])
def test_other_conditions_fail(baseline: SpeedBaseline, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert _time(baseline, _measurement(tmp_path, **changes)).verdict == "changed"


def test_too_few_rounds_fail_and_say_so(baseline: SpeedBaseline, tmp_path: Path) -> None:
    few = renewed_speed(None, _measurement(tmp_path, rounds=6), change())
    line = _time(few, _measurement(tmp_path, rounds=6, factor=2.0))
    assert line.verdict == "missing"
    assert "too few rounds: 6 and 6" in line.note


@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_a_tenth_of_a_percent_of_macs_is_caught(baseline: SpeedBaseline, tmp_path: Path, factor: float) -> None:
    lines = check_speed(baseline, [_measurement(tmp_path, macs=factor * 1e9)], lambda _: DEFAULT)
    assert [line.verdict for line in lines if line.metric == "MACs"] == ["changed"]
    learned = renewed_speed(None, _measurement(tmp_path, keep=None), change())
    lines = check_speed(learned, [_measurement(tmp_path, keep=None, macs=factor * 1e9)], lambda _: DEFAULT)
    assert [line.metric for line in lines] == ["time ratio"], "learned gates decide, which runs are checked for"


def test_committed_measurements_can_be_read_and_hold_against_themselves() -> None:
    found = load_measurement(MEASURED)
    lines = check_speed(renewed_speed(None, found, change()), [found], lambda _: DEFAULT)
    assert {line.verdict for line in lines} == {"holds"}
    assert len(lines) == 3 * len(found.comparisons)
