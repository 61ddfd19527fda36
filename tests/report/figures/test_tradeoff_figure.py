"""Accuracy against GMACs: points and bars equal the runs, labels do not cover each other."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Annotation

from dit_bench.errors import UsageError
from dit_bench.report.figures.style import PALETTE, SMALL
from dit_bench.report.figures.tradeoff import TradeoffPoint, draw_tradeoff, printed_point, tradeoff_points
from dit_bench.report.inputs import RowSpec, RunSummary, TableSpec
from dit_bench.report.statistics import Summary


def test_points_equal_the_runs(spec: TableSpec, runs: list[RunSummary], make_run: Callable[..., RunSummary]) -> None:
    points = tradeoff_points(spec.rows, [*runs, make_run("elsewhere", 0, 50.0)])
    assert [point.label for point in points] == ["Static_x | 100%", "Dynamic (ours)"]
    axes = draw_tradeoff(points).axes[0]
    static = axes.containers[0]
    assert isinstance(static, ErrorbarContainer)
    marker, _, bars = static.lines
    assert marker is not None
    assert np.asarray(marker.get_xydata()).tolist() == [[pytest.approx(0.0095), 83.0]]
    # All runs cost the same, so that only the accuracy has a bar: 83 ± 1.
    (vertical,) = bars
    assert np.asarray(vertical.get_segments()[0])[:, 1].tolist() == pytest.approx([82.0, 84.0])
    labels = [text.get_text() for text in axes.texts]
    assert labels == ["Static_x | 100% (n = 3)", "Dynamic (ours) (n = 3)"]


def test_any_two_metrics(spec: TableSpec, make_run: Callable[..., RunSummary]) -> None:
    runs = [make_run("static", seed, 83.0, params_total_m=25.0) for seed in (0, 1)] + [make_run("dynamic", 0, 85.0)]
    (point,) = tradeoff_points(spec.rows, runs, "params_total_m", "top1_percent")
    assert (point.label, point.x.mean, point.y.mean, point.y.n) == ("Static_x | 100%", 25.0, 83.0, 2)


def test_printed_points_are_hollow_and_groups_are_joined() -> None:
    rows = [RowSpec(name, name.upper()) for name in ("a", "b", "c")]
    printed = [printed_point(row, x, 30.0 + x / 10) for row, x in zip(rows, (20.0, 40.0, 60.0), strict=True)]
    ours = TradeoffPoint("A", Summary(21.0, None, None, 2), Summary(33.0, 0.5, None, 2), "a")
    axes = draw_tradeoff([*printed, ours], groups=[["b", "a"], ["c"]], x_name="M", y_name="AP").axes[0]
    faces, edges = [], []
    for container in axes.containers:
        assert isinstance(container, ErrorbarContainer)
        marker = container.lines[0]
        assert marker is not None
        faces.append(marker.get_markerfacecolor())
        edges.append(marker.get_markeredgecolor())
    # Rows a and b are one group; ours of a has its colour.
    assert faces == ["white", "white", "white", PALETTE[0]]
    assert edges == [PALETTE[0], PALETTE[0], PALETTE[1], "white"]
    # In the order of the group; one measured point alone joins nothing.
    (joined,) = [drawn for drawn in axes.lines if len(np.asarray(drawn.get_xdata())) > 1]
    assert np.asarray(joined.get_xydata()).tolist() == [[40.0, 34.0], [20.0, 32.0]]
    assert [text.get_text() for text in axes.texts] == ["A", "B", "C", "A (n = 2)"]
    assert axes.get_ylabel() == "AP, hollow: printed, filled: ours ± SD over seeds"
    assert axes.get_xlabel() == "M"


def test_nothing_to_plot_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no finished run"):
        draw_tradeoff([])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_crowded_labels_do_not_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [
        TradeoffPoint(
            f"Row number {k}",
            Summary(3.8 + rng.normal(0, 0.1), 0.05, None, 3),
            Summary(83 + rng.normal(), 0.4, None, 3),
        )
        for k in range(7)
    ]
    points.append(TradeoffPoint("Fully", Summary(15.6, None, None, 1), Summary(83.5, None, None, 1)))
    figure = draw_tradeoff(points)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    axes = figure.axes[0]
    # An annotation's own extent includes its leader: ask for that of the text.
    boxes = [super(Annotation, text).get_window_extent(renderer) for text in axes.texts]  # type: ignore[misc]
    frame = axes.get_window_extent(renderer)
    for k, box in enumerate(boxes):
        assert frame.x0 - 1 <= box.x0
        assert box.x1 <= frame.x1 + 1
        assert not any(box.shrunk(0.98, 0.8).overlaps(other.shrunk(0.98, 0.8)) for other in boxes[k + 1 :])
    assert min(float(text.get_fontsize()) for text in axes.texts) >= SMALL


def test_a_lone_point_has_limits_around_it() -> None:
    axes = draw_tradeoff([TradeoffPoint("One", Summary(3.8, None, None, 1), Summary(83.0, None, None, 1))]).axes[0]
    assert axes.get_xlim()[0] < 3.8 < axes.get_xlim()[1]
    assert axes.get_ylim()[0] < 83.0 < axes.get_ylim()[1]
