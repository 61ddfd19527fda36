from __future__ import annotations

import pytest

from dit_bench.report.check_counts import check_counts
from dit_bench.report.check_result import CheckLine
from dit_bench.runs.baseline import CountedRow

COUNTED = CountedRow(image_size_px=[64, 64], figures={"params_total": 1_344_420, "macs.matmul": 4_394_432})


def _lines(now: CountedRow | None, before: CountedRow = COUNTED) -> list[CheckLine]:
    return check_counts({"row": before}, {} if now is None else {"row": now}, {"row": "unknown row 'row'"})


def _with(**figures: int) -> CountedRow:
    named = {"params_total": figures.get("params", 1_344_420), "macs.matmul": figures.get("macs", 4_394_432)}
    return COUNTED.model_copy(update={"figures": named})


def test_equal_counts_hold() -> None:
    assert [(line.metric, line.verdict) for line in _lines(_with())] == [
        ("params_total", "holds"),
        ("macs.matmul", "holds"),
    ]


@pytest.mark.parametrize("change", [1, -1, 4394, -4394])
def test_a_changed_count_fails_down_to_one_mac(change: int) -> None:
    _, macs = _lines(_with(macs=4_394_432 + change))
    assert macs.verdict == "changed"
    assert f"differs by {change:+d}" in macs.note
    assert (macs.baseline, macs.now) == ("4394432", str(4_394_432 + change))


def test_rows_and_figures_that_are_gone_fail() -> None:
    assert [(line.verdict, line.note) for line in _lines(None)] == [("missing", "unknown row 'row'")]
    (line,) = [
        line for line in _lines(COUNTED.model_copy(update={"figures": {"params_total": 1_344_420}})) if line.now == "—"
    ]
    assert (line.metric, line.verdict) == ("macs.matmul", "missing")


def test_a_new_figure_is_only_reported() -> None:
    lines = _lines(COUNTED.model_copy(update={"figures": {**COUNTED.figures, "target_macs": 1}}))
    assert [line.verdict for line in lines] == ["holds", "holds", "new"]


def test_a_row_that_can_no_longer_be_counted_fails() -> None:
    broken = CountedRow(image_size_px=[64, 64], figures={}, problem="needs cvt")
    assert [(line.verdict, line.note) for line in _lines(broken)] == [("missing", "could not be counted: needs cvt")]
    assert [line.verdict for line in _lines(COUNTED, broken)] == ["new"]
    assert _lines(broken, broken) == []


def test_another_input_size_fails() -> None:
    (line,) = _lines(COUNTED.model_copy(update={"image_size_px": [64, 96]}))
    assert (line.verdict, line.baseline, line.now) == ("changed", "64x64", "64x96")
