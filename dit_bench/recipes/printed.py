"""What a paper's printed figures mean: error rates as accuracies."""

from __future__ import annotations

from dit_bench.recipes.schema import Printed


def printed_top1(printed: Printed) -> float | None:
    """The printed top-1 accuracy in percent; where the paper prints the error rate, 100 minus it."""
    if printed.top1_error_percent is not None:
        # The print has one or two decimals; binary subtraction would invent more.
        return round(100 - printed.top1_error_percent, 2)
    return printed.top1_percent
