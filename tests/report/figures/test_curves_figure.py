"""Curves over epochs: lines, bands and markers are the values given, hollow ones the print."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer

from dit_bench.errors import UsageError
from dit_bench.report.figures.curves import CurvePanels, TrainingCurve, draw_curves
from dit_bench.report.figures.style import PALETTE
from dit_bench.report.statistics import Summary


def once(value: float) -> Summary:
    return Summary(value, None, None, 1)


WITH = TrainingCurve(
    "with",
    "with weights",
    3,
    loss={1: Summary(2.0, 0.5, None, 3), 2: Summary(1.0, 0.25, None, 3), 3: Summary(0.5, 0.0, None, 3)},
    quality={3: Summary(40.5, 0.5, None, 3)},
    printed={3: 41.4},
)
WITHOUT = TrainingCurve("without", "from scratch", 3, {1: once(3.0), 2: once(2.5), 3: once(2.25)}, {3: once(26.0)})


def line(axes: Axes, number: int) -> list[list[float]]:
    return np.asarray(axes.lines[number].get_xydata()).tolist()


def test_losses_are_lines_with_bands() -> None:
    figure = draw_curves([CurvePanels("", [WITH, WITHOUT])], quality_name="AP")
    losses, _ = figure.axes
    assert line(losses, 0) == [[1, 2], [2, 1], [3, 0.5]]
    assert line(losses, 1) == [[1, 3], [2, 2.5], [3, 2.25]]
    (band,) = losses.collections
    corners = {tuple(corner) for corner in np.asarray(band.get_paths()[0].vertices).tolist()}
    assert corners >= {(1, 1.5), (1, 2.5), (2, 0.75), (2, 1.25), (3, 0.5)}
    assert losses.get_xlim()[0] == 0
    assert losses.get_xlabel() == "Epoch"


def test_what_is_reached_at_the_end_stands_beside_the_print() -> None:
    axes = draw_curves([CurvePanels("", [WITH, WITHOUT])], quality_name="AP").axes[1]
    (printed,) = [drawn for drawn in axes.lines if drawn.get_gid() == "printed"]
    assert np.asarray(printed.get_xydata()).tolist() == [[3, 41.4]]
    assert printed.get_markerfacecolor() == "white"
    measured = [bars for bars in axes.containers if isinstance(bars, ErrorbarContainer)]
    places = [np.asarray(bars.lines[0].get_xydata()).tolist() for bars in measured if bars.lines[0] is not None]
    assert places == [[[3, 40.5]], [[3, 26.0]]]
    (vertical,) = measured[0].lines[2]
    assert np.asarray(vertical.get_segments()[0])[:, 1].tolist() == [40.0, 41.0]
    assert {text.get_text() for text in axes.texts} == {"41.4", "40.5 (n = 3)", "26.0 (n = 1)"}
    assert axes.get_ylabel() == "AP, hollow: printed, filled: ours"


def test_a_metric_of_every_epoch_is_a_line() -> None:
    curve = TrainingCurve("a", "a", 2, quality={1: once(10.0), 2: once(20.0)})
    (axes,) = draw_curves([CurvePanels("", [curve])], quality_name="AP").axes
    assert line(axes, 0) == [[1, 10], [2, 20]]


def test_values_of_close_ends_stand_above_and_below_their_lines() -> None:
    """The upper one's above, whichever row comes first."""
    low, high = ({epoch: once(end - 20.0 / epoch) for epoch in range(1, 9)} for end in (80.0, 81.5))
    curves = [TrainingCurve("low", "low", 8, quality=low), TrainingCurve("high", "high", 8, quality=high)]
    (axes,) = draw_curves([CurvePanels("", curves)], quality_name="AP").axes
    axes.figure.canvas.draw()
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    upper, lower = boxes[f"{high[8].mean:.1f} (n = 1)"], boxes[f"{low[8].mean:.1f} (n = 1)"]
    assert upper.y0 > lower.y1
    # Where ends are closer still, the colour says whose value it is.
    colours = {text.get_text(): to_rgb(str(text.get_color())) for text in axes.texts}
    assert list(colours.values()) == [to_rgb(PALETTE[1]), to_rgb(PALETTE[0])]
    for curve in curves:
        places = axes.transData.transform([(epoch, value.mean) for epoch, value in curve.quality.items()])
        for box in boxes.values():
            assert not [place for place in places if box.x0 <= place[0] <= box.x1 and box.y0 <= place[1] <= box.y1]


def test_a_row_has_one_colour_in_all_groups() -> None:
    groups = [CurvePanels("both", [WITH, WITHOUT]), CurvePanels("one", [WITHOUT])]
    figure = draw_curves(groups, quality_name="AP")
    first, _, second, _ = figure.axes
    assert [to_rgb(str(drawn.get_color())) for drawn in first.lines] == [to_rgb(colour) for colour in PALETTE[:2]]
    assert to_rgb(str(second.lines[0].get_color())) == to_rgb(PALETTE[1])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["both", "", "one", ""]
    assert [text.get_text() for text in figure.texts] == ["with weights", "from scratch"]


def test_the_print_alone_needs_no_panel_of_losses() -> None:
    only = TrainingCurve("p", "printed only", 12, printed={12: 36.3})
    empty = TrainingCurve("e", "nothing known", 12)
    figure = draw_curves([CurvePanels("a", [only, empty]), CurvePanels("b", [empty])], quality_name="AP", title="T")
    assert len(figure.axes) == 1
    assert [text.get_text() for text in figure.texts] == ["printed only", "T"]


def test_nothing_to_draw_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no finished run"):
        draw_curves([CurvePanels("", [TrainingCurve("e", "nothing known", 12)])], quality_name="AP")


def test_everything_lies_in_the_figure() -> None:
    many = [TrainingCurve(str(k), f"row number {k} with a long name", 36, printed={36: 30.0 + k}) for k in range(9)]
    figure = draw_curves([CurvePanels("all", [WITH, *many])], quality_name="AP", title="A title")
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    for text in [*figure.texts, *(axes.yaxis.label for axes in figure.axes), *(axes.title for axes in figure.axes)]:
        extent = text.get_window_extent(renderer)
        assert extent.x0 >= -1
        assert extent.x1 <= width + 1
        assert extent.y0 >= -1
        assert extent.y1 <= height + 1
