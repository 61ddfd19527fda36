"""The outcome of a check as JUnit XML: one test case per row and metric, as build servers read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from dit_bench.report.check_result import MEANINGS, CheckedBaseline, CheckLine, fails

# What XML 1.0 cannot hold, even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(checked: Sequence[CheckedBaseline], *, strict: bool = False, seconds: float = 0.0) -> bytes:
    """A suite per baseline file. Failing lines are failures; what could not be compared is skipped."""
    root = ElementTree.Element("testsuites", {"name": "dit-bench check"})
    totals = [0, 0, 0]
    for baseline in checked:
        counts = [
            len(baseline.lines),
            len(baseline.failed(strict)),
            sum(_skipped(line, strict) for line in baseline.lines),
        ]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        suite = ElementTree.SubElement(
            root, "testsuite", {"name": _clean(baseline.title), **_counted(counts), "time": "0"}
        )
        for line in baseline.lines:
            _case(suite, baseline, line, strict)
    for name, value in {**_counted(totals), "time": f"{seconds:.3f}"}.items():
        root.set(name, value)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _case(suite: ElementTree.Element, baseline: CheckedBaseline, line: CheckLine, strict: bool) -> None:
    names = {"classname": _clean(f"{baseline.file}.{line.row}"), "name": _clean(line.metric), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", names)
    reason = _clean(line.note or MEANINGS[line.verdict])
    figures = f"baseline {line.baseline or '—'}, now {line.now or '—'}, allowed {line.allowed or '—'}"
    if fails(line.verdict, strict):
        failure = {"message": f"{line.verdict}: {reason}", "type": line.verdict}
        ElementTree.SubElement(case, "failure", failure).text = _clean(figures)
    elif _skipped(line, strict):
        ElementTree.SubElement(case, "skipped", {"message": reason})
    elif line.verdict != "holds":
        ElementTree.SubElement(case, "system-out").text = _clean(f"{line.verdict}: {reason} ({figures})")


def _skipped(line: CheckLine, strict: bool) -> bool:
    return line.verdict == "not compared" and not strict


def _counted(counts: Sequence[int]) -> dict[str, str]:
    tests, failures, skipped = map(str, counts)
    return {"tests": tests, "failures": failures, "errors": "0", "skipped": skipped}


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
