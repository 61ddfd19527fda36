"""How numbers are written in tables and figures: decimals, signs, the missing value."""

import math
from collections.abc import Iterable

from dit_bench.report.statistics import Interval

MISSING = "—"
MINUS = "−"


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals and a typographic minus; never a negative zero."""
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def signed(value: float, decimals: int) -> str:
    """As `fixed`, with a plus before positive values: a difference."""
    text = fixed(value, decimals)
    return text if text.startswith(MINUS) or float(text) == 0 else f"+{text}"


def with_sd(text: str, sd: float | None, decimals: int) -> str:
    """Append `± sd`, if there is one."""
    return text if sd is None else f"{text} ± {fixed(sd, decimals)}"


def interval_text(interval: Interval, decimals: int, *, sign: bool = False) -> str:
    """`[low, high]`."""
    write = signed if sign else fixed
    return f"[{write(interval.low, decimals)}, {write(interval.high, decimals)}]"


def p_text(p: float) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def shared_decimals(values: Iterable[float], significant: int = 3) -> int:
    """Decimals at which the smallest non-zero magnitude keeps `significant` digits (1 to 6): one choice per column."""
    magnitudes = [abs(value) for value in values if value and math.isfinite(value)]
    if not magnitudes:
        return 1
    return min(6, max(1, significant - 1 - math.floor(math.log10(min(magnitudes)))))


def percent(share: float) -> str:
    """A share from 0 to 1 as whole per cent; only an exact 0 or 1 is written so, its neighbours as <1 and >99."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"
