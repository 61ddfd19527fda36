from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from dit_bench.report.check_result import FAILURES, VERDICTS, CheckedBaseline, CheckLine, summary
from dit_bench.report.render_check import (
    MOST_LINES_HELD,
    STEP_SUMMARY_BYTES,
    json_check,
    markdown_check,
    notes_of,
    rich_check,
    shortened,
)

FAILED = CheckLine("dynamic", "top1_percent", "regression", 3, "88.4", "80.1", "±0.5 points", "moved by −8.3 points")
HELD = CheckLine("dynamic", "gmacs|mean", "holds", 3, "0.01", "0.01", "exact")
CHECKED = [CheckedBaseline("baselines/a.json", "A table", (FAILED, HELD))]


def _many(count: int) -> list[CheckedBaseline]:
    held = tuple(CheckLine("row", f"figure {k}", "holds") for k in range(count))
    return [CheckedBaseline("baselines/b.json", "Many", (FAILED, *held))]


def _terminal(checked: list[CheckedBaseline], everything: bool = False) -> str:
    out = io.StringIO()
    Console(file=out, width=140).print(rich_check(checked, everything=everything))
    return out.getvalue()


def test_all_figures_of_a_short_list_are_shown_and_failures_explained() -> None:
    text = _terminal(CHECKED)
    for word in ("row", "seeds", "metric", "baseline", "now", "allowed", "verdict", "88.4", "80.1", "gmacs|mean"):
        assert word in text
    assert "regression: dynamic, top1_percent: moved by −8.3 points" in text
    assert text.rstrip().endswith("1 of 2 figures fail (1 holds, 1 regression)")


def test_of_a_long_list_only_what_does_not_hold_is_shown_unless_all_is_asked_for() -> None:
    checked = _many(MOST_LINES_HELD)
    short, full = _terminal(checked), _terminal(checked, everything=True)
    assert "figure 3" not in short
    assert "top1_percent" in short
    assert f"{MOST_LINES_HELD} figures that hold are not shown; --all shows them." in short
    assert all(f"figure {k}" in full for k in range(MOST_LINES_HELD))
    assert notes_of(checked[0])[-1].startswith(f"baselines/b.json: {MOST_LINES_HELD} figures that hold")


def test_markdown_says_first_what_failed_and_is_a_table() -> None:
    lines = markdown_check(CHECKED).splitlines()
    assert lines[0] == "### dit-bench check: failed"
    assert lines[4] == "- **regression** dynamic, top1\\_percent: moved by −8.3 points (`baselines/a.json`)"
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| row | seeds | metric | baseline | now | allowed | verdict |"
    assert {line.replace("\\|", "").count("|") for line in table} == {8}, "every line has seven cells"
    assert markdown_check([CheckedBaseline("a", "b", (HELD,))]).startswith("### dit-bench check: passed")


def test_markdown_is_cut_at_the_end_of_a_line_and_says_so() -> None:
    checked = _many(60_000)
    whole = markdown_check(checked, everything=True)
    assert len(whole.encode()) > STEP_SUMMARY_BYTES
    cut = markdown_check(checked, everything=True, most_bytes=STEP_SUMMARY_BYTES)
    assert STEP_SUMMARY_BYTES - 300 < len(cut.encode()) <= STEP_SUMMARY_BYTES
    *body, blank, notice = cut.splitlines()
    assert blank == ""
    assert notice.startswith("Cut here: the rest does not fit.")
    assert whole.startswith("\n".join(body) + "\n")


@pytest.mark.parametrize("room", [0, 3, 50, 118, 119, 120, 121, 400])
def test_no_room_is_never_exceeded_even_within_a_character(room: int) -> None:
    text = shortened("—×±\n" * 200, room)
    assert len(text.encode()) <= room


def test_json_holds_every_line_and_which_fail() -> None:
    lines = tuple(CheckLine("row", verdict, verdict) for verdict in VERDICTS)
    document = json.loads(json.dumps(json_check([CheckedBaseline("a", "b", lines)]), allow_nan=False))
    assert document["passed"] is False
    figures = document["baselines"][0]["figures"]
    assert {figure["verdict"] for figure in figures if figure["fails"]} == FAILURES
    assert document["verdicts"] == dict.fromkeys(VERDICTS, 1)
    strict = json_check([CheckedBaseline("a", "b", lines)], strict=True)["baselines"][0]["figures"]
    assert [figure["verdict"] for figure in strict if not figure["fails"]] == ["holds"]


def test_summary_counts_by_verdict() -> None:
    assert summary(CHECKED) == "1 of 2 figures fail (1 holds, 1 regression)"
    better = [CheckedBaseline("a", "b", (CheckLine("row", "x", "better"),))]
    assert summary(better) == "all 1 figures pass (1 better)"
    assert summary(better, strict=True) == "1 of 1 figures fail (1 better)"
