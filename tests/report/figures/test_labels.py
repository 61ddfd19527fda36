"""Labels beside points: clear of lines, and entries set into lines."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Annotation

from dit_bench.report.figures.labels import LabelledPoint, place_labels
from dit_bench.report.figures.panels import in_lines
from dit_bench.report.figures.style import figure_style, new_figure

PLACES = [(1.0, 1.0), (2.0, 3.0), (5.0, 3.5), (9.0, 4.0)]


def crossed(lines: list[list[tuple[float, float]]]) -> int:
    """Labels that the line through the places crosses."""
    with figure_style():
        figure = new_figure(4.5, 3.0)
        axes = figure.add_axes((0.1, 0.1, 0.85, 0.85))
        axes.set(xlim=(0, 12), ylim=(0, 5))
        points = [LabelledPoint(x, y, 0.0, 0.0, f"point number {k}") for k, (x, y) in enumerate(PLACES)]
        placed = place_labels(figure, axes, points, lines)
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
        boxes = [super(Annotation, text).get_window_extent(renderer) for text in placed]  # type: ignore[misc]
    shares = np.linspace(0, 1, 500)[:, None]
    ways = [(1 - shares) * np.array(start) + shares * np.array(end) for start, end in pairwise(PLACES)]
    along = axes.transData.transform(np.concatenate(ways))
    return sum(any(box.contains(x, y) for x, y in along.tolist()) for box in boxes)


def test_labels_keep_clear_of_lines() -> None:
    assert crossed([]) > 0, "without the line in mind, some label lies on it"
    assert crossed([PLACES]) == 0


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ([], []),
        ([3.0, 3.0, 3.0], [(0.0, 0), (4.0, 0), (0.0, 1)]),
        ([9.0, 3.0], [(0.0, 0), (0.0, 1)]),
    ],
)
def test_entries_fill_lines(widths: list[float], expected: list[tuple[float, int]]) -> None:
    assert in_lines(widths, room=7.0, gap=1.0) == expected
