"""How numbers are written."""

import pytest

from dit_bench.report.numbers import fixed, p_text, percent, shared_decimals, signed, with_sd


def test_signs() -> None:
    assert [signed(value, 1) for value in (0.4, -2.4, 0.04, -0.04)] == ["+0.4", "−2.4", "0.0", "0.0"]
    assert fixed(-0.001, 2) == "0.00"
    assert with_sd("1.0", None, 1) == "1.0"
    assert with_sd("1.0", 0.25, 2) == "1.0 ± 0.25"


@pytest.mark.parametrize(
    ("values", "decimals"), [([3.8, 15.6], 2), ([0.0103, 0.04], 4), ([120.0], 1), ([0.0], 1), ([], 1)]
)
def test_smallest_value_sets_the_decimals(values: list[float], decimals: int) -> None:
    assert shared_decimals(values) == decimals


def test_p() -> None:
    assert [p_text(p) for p in (0.0004, 0.0123, 0.42)] == ["p < 0.001", "p = 0.012", "p = 0.42"]


def test_percent_keeps_zero_and_one_for_the_exact() -> None:
    assert [percent(x) for x in (0.0, 0.004, 0.374, 0.996, 1.0)] == ["0 %", "<1 %", "37 %", ">99 %", "100 %"]
