"""MACs over input sizes: the lines are the counts, and the caption's order is judged both ways."""

from __future__ import annotations

import numpy as np
from matplotlib.text import Annotation

from dit_bench.report.figures.growth import GrowthCurve, draw_growth, growth_statements, order_verdict

SIDES = (224, 448, 896)
STEEP = GrowthCurve("steep", SIDES, (2.0, 12.0, 100.0))
FLAT = GrowthCurve("flat", SIDES, (20.0, 80.0, 320.0))


def test_lines_are_the_counts_and_their_factors() -> None:
    absolute, relative = draw_growth([STEEP, FLAT], title="Figure 6").axes
    for axes, expected in ((absolute, STEEP.gmacs), (relative, (1.0, 6.0, 50.0))):
        line = axes.lines[0]
        assert np.asarray(line.get_xdata()).tolist() == list(SIDES)
        assert np.asarray(line.get_ydata()).tolist() == list(expected)
        assert {text.get_text() for text in axes.texts} == {"steep", "flat"}


def test_labels_of_equal_ends_stand_apart() -> None:
    axes = draw_growth([STEEP, GrowthCurve("twin", SIDES, STEEP.gmacs)]).axes[0]
    places = sorted(text.xy[1] for text in axes.texts if isinstance(text, Annotation))
    assert places[1] - places[0] > 0.05


def test_order_is_judged_by_increase_and_by_factor() -> None:
    increase, factor = growth_statements([STEEP, FLAT])
    assert "steep +98.0, flat +300.0: order contradicted" in increase
    assert "steep ×50.0, flat ×16.0: order reproduced" in factor
    assert order_verdict([3, 2, 2]) == "contradicted"
