"""Figure 4: the numbers in the drawing are those of the input, at their places."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from dit_bench.report.figures.skips import draw_skips
from dit_bench.report.figures.style import SMALL
from dit_bench.report.skip_statistics import SkipStatistics


@pytest.fixture
def statistics() -> SkipStatistics:
    """Distinct numbers at every node; the lowest scale is not live in stage 1, one column gate never
    opens, another always."""
    ratio = np.arange(10, 26).reshape(4, 4) / 100
    spread = np.arange(30, 46).reshape(4, 4) / 100
    live = np.ones((4, 4))
    live[1, 0] = 0.6
    ratio[3, 0] = spread[3, 0] = np.nan
    live[3, 0] = 0.0
    columns = np.arange(50, 65).reshape(3, 5) / 100
    columns[2, 0], columns[2, 4] = 0.0, 1.0
    return SkipStatistics(ratio, spread, live, columns, "Digit scenes", 1500)


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_numbers_equal_the_input(statistics: SkipStatistics) -> None:
    texts = _texts(draw_skips([statistics]))
    bold = [f"{100 * value:.0f} %" for value in statistics.skip_ratio.flat if not np.isnan(value)]
    opened = [f"{100 * value:.0f} %" for value in statistics.column_open.flat]
    assert sorted(text for text in texts if text.endswith("%") and "live" not in text) == sorted(bold + opened)
    assert sorted(t for t in texts if t.startswith("±")) == sorted(
        f"± {100 * value:.0f}" for value in statistics.skip_sd.flat if not np.isnan(value)
    )
    assert texts.count("not live") == 1
    assert [text for text in texts if text.startswith("live")] == ["live 60 %"]
    assert "Digit scenes (1,500 images)" in texts


def test_numbers_stand_over_their_lines(statistics: SkipStatistics) -> None:
    axes = draw_skips([statistics]).axes[0]
    places = {text.get_text(): text.get_position() for text in axes.texts}
    rows = [places[f"{100 * statistics.skip_ratio[i, 1]:.0f} %"][1] for i in range(4)]
    columns = [places[f"{100 * statistics.skip_ratio[0, j]:.0f} %"][0] for j in range(4)]
    assert rows == sorted(rows, reverse=True)
    assert columns == sorted(columns)
    names = [places[f"Stage {j + 1}"][0] for j in range(4)]
    assert columns == pytest.approx(names)


def test_thicker_lines_for_more_kept_tokens(statistics: SkipStatistics) -> None:
    axes = draw_skips([statistics]).axes[0]
    arrows = [patch.get_xy() for patch in axes.patches if isinstance(patch, Polygon)]
    # One arrow per used line: 15 of 16 stages and 14 of 15 columns.
    assert len(arrows) == 29
    sheets = [xy for xy in arrows if np.ptp(xy[:, 0]) > np.ptp(xy[:, 1])]
    # A line's body spans its first corner and the last but the closing one.
    thickness = [abs(xy[0, 1] - xy[-2, 1]) for xy in sheets]
    assert len(thickness) == 15
    assert thickness == sorted(thickness, reverse=True)  # skip ratios grow in drawing order
    assert thickness[0] > thickness[-1]


def test_several_data_sets_and_sizes_of_grid(statistics: SkipStatistics) -> None:
    small = SkipStatistics(np.zeros((2, 3)), np.full((2, 3), np.nan), np.ones((2, 3)), np.ones((1, 4)), "Small", 1)
    figure = draw_skips([statistics, small, statistics])
    assert len(figure.axes) == 4  # three grids and the key
    assert "Stage 4" not in [text.get_text() for text in figure.axes[1].texts]
    assert "0 %" in [text.get_text() for text in figure.axes[1].texts]


@pytest.mark.parametrize("count", [1, 2])
def test_all_text_is_readable_and_inside(statistics: SkipStatistics, count: int) -> None:
    figure = draw_skips([statistics] * count)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    texts = [text for axes in figure.axes for text in axes.texts]
    assert min(float(text.get_fontsize()) for text in texts) >= SMALL
    extents = [text.get_window_extent(renderer) for text in texts]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in extents)
    overlapping = [
        (a.get_text(), b.get_text())
        for k, (a, box) in enumerate(zip(texts, extents, strict=True))
        for b, other in zip(texts[k + 1 :], extents[k + 1 :], strict=True)
        if box.shrunk(0.9, 0.7).overlaps(other.shrunk(0.9, 0.7))
    ]
    assert overlapping == []
