"""Measurements as tables and files: every figure beside its interval, noise called noise."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dit_bench.cost.latency import WarmUp, speed_up
from dit_bench.engine.benchmark import BenchLine, CountingLine, Measured
from dit_bench.errors import UsageError
from dit_bench.report.bench_table import (
    COUNTING_HEADINGS,
    NETWORK_HEADINGS,
    SPEED_UP_HEADINGS,
    WIDE_HEADINGS,
    BenchReport,
    bench_json,
    counting_cells,
    network_cells,
    save_bench,
    speed_up_cells,
    wide_cells,
)
from dit_bench.runs.record import Provenance

PROVENANCE = Provenance(
    created_utc="2026-01-02T03:04:05+00:00",
    dit_bench_version="1",
    git_commit="0123456789abcdef",
    git_dirty=True,
    argv=["dit-bench", "bench", "dit_b2"],
    python="3.11",
    platform="Linux",
    packages={"torch": "2.13.0", "timm": "1.0.31"},
    device="cpu",
    processor="Some CPU",
    accelerator=None,
    threads=1,
    weights_sha256=None,
    data_manifest_sha256=None,
)


def line(baseline_seconds: list[float], *, kind: str = "pvt", settled: bool = True, macs: float = 4e9) -> BenchLine:
    ours = Measured("dit", "eager", 2e9, (0.8,) * 6, 123_456_789)
    other = Measured(kind, "compiled", macs, tuple(baseline_seconds), None)
    found = speed_up(ours.seconds, other.seconds, ideal=macs / 2e9)
    return BenchLine("dit_b2", (224, 320), 8, 0.5, 0.3, 0.5, 0.0866, ours, other, found, WarmUp(10, settled))


FASTER = line([1.2, 1.2, 1.2, 1.2, 1.2, 1.28])
NOISE = line([0.72, 0.8, 0.88, 0.88, 0.96, 0.96], kind="padded", settled=False, macs=2e9)
COUNTING = CountingLine("dit_b2", (64, 64), 8, 0.5, (0.8,) * 6, (0.8, 0.808, 0.808, 0.808, 0.808, 0.816))
REPORT = BenchReport([FASTER, NOISE], [COUNTING], PROVENANCE, compiled=True, precision="fp32")
CASE = ("dit_b2", "224x320", "8", "0.50 ± 0.09")


def test_speed_ups_stand_beside_their_intervals_and_verdicts() -> None:
    faster, noise = speed_up_cells(REPORT.lines)
    assert faster == (*CASE, "pvt, compiled", "2.000", "1.500 [1.500, 1.600]", "faster", "0.50 [0.50, 0.60]")
    assert noise == (*CASE, "padded, compiled", "1.000", "1.100 [0.900, 1.200]", "within noise", "—")
    assert len(faster) == len(SPEED_UP_HEADINGS)


def test_networks_stand_once_with_times_per_image() -> None:
    ours, pvt, padded = network_cells(REPORT.lines)
    assert ours == (*CASE, "dit, eager", "2.00", "100 [100, 100]", "10.0", "123.5")
    assert pvt == (*CASE, "pvt, compiled", "4.00", "150 [150, 160]", "6.67", "—")
    assert padded[4] == "padded, compiled"
    assert len(ours) == len(NETWORK_HEADINGS)


def test_the_wide_table_holds_both() -> None:
    wide = dict(zip(WIDE_HEADINGS, wide_cells(REPORT.lines)[0], strict=True))
    assert wide["baseline GMACs"] == "4.00"
    assert wide["baseline ms/image [95 %]"] == "150 [150, 160]"
    assert wide["images/s"] == "10.0"
    assert (wide["verdict"], wide["peak MB"], wide["baseline peak MB"]) == ("faster", "123.5", "—")


def test_the_cost_of_counting() -> None:
    (cells,) = counting_cells([COUNTING])
    assert cells == ("dit_b2", "64x64", "8", "0.50", "100", "101", "+1.0 [0.0, +2.0]", "within noise")
    assert len(cells) == len(COUNTING_HEADINGS)
    slower = replace(COUNTING, counted_seconds=(0.84,) * 6)
    assert counting_cells([slower])[0][-2:] == ("+5.0 [+5.0, +5.0]", "slower")


def test_conditions_and_notes_say_what_a_time_depends_on() -> None:
    conditions = dict(REPORT.conditions)
    assert conditions["commit"] == "0123456789ab, with changes"
    assert (conditions["CPU"], conditions["threads"], conditions["compile"]) == ("Some CPU", "1", "yes")
    assert any("In 1 of 2 comparisons" in note for note in REPORT.notes)
    quiet = BenchReport([FASTER], [], PROVENANCE, compiled=False, precision="fp32")
    assert not any("not quiet" in note for note in quiet.notes)


def test_json_has_the_raw_rounds() -> None:
    first, second = json.loads(json.dumps(bench_json(REPORT), allow_nan=False))["comparisons"]
    assert first["baseline"]["seconds"] == [1.2, 1.2, 1.2, 1.2, 1.2, 1.28]
    assert first["real_speed_up"]["median"] == pytest.approx(1.5)
    assert second["rho"] is None
    assert bench_json(REPORT)["counting"][0]["overhead"]["median"] == pytest.approx(0.01)


def test_csv_has_one_plain_line_per_comparison(tmp_path: Path) -> None:
    path = save_bench(REPORT, tmp_path / "bench.csv")
    with path.open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["height_px"], first["width_px"]) == ("224", "320")
    assert float(first["real_speed_up_low"]) == pytest.approx(1.5)
    assert float(first["baseline_seconds_median"]) == 1.2
    assert (second["rho_median"], second["rho_coverage"], second["verdict"]) == ("", "", "within noise")
    assert second["baseline_peak_bytes"] == ""
    assert first["CPU"] == "Some CPU"


def test_markdown_and_what_is_not_written_over(tmp_path: Path) -> None:
    path = save_bench(REPORT, tmp_path / "bench.md")
    text = path.read_text(encoding="utf-8")
    assert "| dit\\_b2 | 224x320 | 8 | 0.50 ± 0.09 | padded, compiled |" in text
    assert "within noise" in text
    assert "threads: 1" in text
    assert "Made with `dit-bench bench dit_b2`." in text
    with pytest.raises(UsageError, match="exists"):
        save_bench(REPORT, path)
    with pytest.raises(UsageError, match=r"unknown format '\.tex'"):
        save_bench(REPORT, tmp_path / "bench.tex")
