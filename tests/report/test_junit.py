from __future__ import annotations

from xml.etree import ElementTree

import pytest

from dit_bench.report.check_result import VERDICTS, CheckedBaseline, CheckLine
from dit_bench.report.junit import junit_xml

CHECKED = [
    CheckedBaseline(
        "baselines/a.json",
        "all verdicts",
        tuple(CheckLine("row", name, name, 3, "1", "2", "exact") for name in VERDICTS),
    ),
    CheckedBaseline("baselines/b.json", "holds", (CheckLine('a<"&>\x00\ud800', "top-1 ± 1", "holds"),)),
]


@pytest.mark.parametrize(("strict", "failures", "skipped"), [(False, 3, 1), (True, 7, 0)])
def test_every_line_is_a_test_case_and_the_sums_agree(strict: bool, failures: int, skipped: int) -> None:
    root = ElementTree.fromstring(junit_xml(CHECKED, strict=strict, seconds=1.5))
    assert root.tag == "testsuites"
    suites = list(root)
    assert [suite.tag for suite in suites] == ["testsuite", "testsuite"]
    assert root.attrib == {
        "name": "dit-bench check",
        "tests": str(len(VERDICTS) + 1),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(skipped),
        "time": "1.500",
    }
    for suite in suites:
        cases = suite.findall("testcase")
        assert len(cases) == int(suite.attrib["tests"])
        assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"])
        assert len(suite.findall("testcase/skipped")) == int(suite.attrib["skipped"])
        assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == len(cases)
        for case in cases:
            assert {"classname", "name", "time"} <= set(case.attrib)


def test_a_failure_says_why_and_with_which_figures() -> None:
    root = ElementTree.fromstring(junit_xml(CHECKED))
    failure = root.find(".//testcase[@name='regression']/failure")
    assert failure is not None
    assert failure.attrib == {"message": "regression: worse than allowed", "type": "regression"}
    assert failure.text == "baseline 1, now 2, allowed exact"


def test_what_xml_cannot_hold_is_replaced() -> None:
    root = ElementTree.fromstring(junit_xml(CHECKED))
    case = root.find("testsuite[@name='holds']/testcase")
    assert case is not None
    assert case.attrib["classname"] == 'baselines/b.json.a<"&>\ufffd\ufffd'
    assert case.attrib["name"] == "top-1 ± 1"
