"""Real against ideal speed-up: points lie where they were measured, noise is hollow, labels say what differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Annotation

from dit_bench.cost.latency import WarmUp, speed_up
from dit_bench.engine.benchmark import BenchLine, Measured
from dit_bench.errors import UsageError
from dit_bench.report.figures.speedup import SpeedUpPoint, draw_speed_up, speed_up_points

FASTER = SpeedUpPoint(2.0, 1.5, 1.4, 1.7, "pvt, kept 0.50", "pvt")
NOISE = SpeedUpPoint(1.3, 1.05, 0.9, 1.2, "padded, kept 0.50", "padded")


def line(kind: str, batch: int) -> BenchLine:
    ours = Measured("dit", "eager", 2e9, (1.0,) * 6, None)
    other = Measured(kind, "eager", 4e9, (1.5,) * 6, None)
    found = speed_up(ours.seconds, other.seconds, ideal=2.0)
    return BenchLine("dit_b2", (224, 224), batch, 0.5, 0.0, 0.5, 0.0, ours, other, found, WarmUp(2, True))


def test_points_bars_and_noise() -> None:
    axes = draw_speed_up([FASTER, NOISE], title="CPU").axes[0]
    first, second = (found for found in axes.containers if isinstance(found, ErrorbarContainer))
    markers = [found.lines[0] for found in (first, second)]
    assert [float(np.asarray(m.get_xdata())[0]) for m in markers] == [2.0, 1.3]
    assert [float(np.asarray(m.get_ydata())[0]) for m in markers] == [1.5, 1.05]
    (segments,) = first.lines[2][0].get_segments()
    assert sorted(segments[:, 1].tolist()) == pytest.approx([1.4, 1.7])
    assert to_hex(markers[1].get_markerfacecolor()) == "#ffffff"
    assert to_hex(markers[0].get_markerfacecolor()) != "#ffffff"
    assert to_hex(markers[0].get_color()) != to_hex(markers[1].get_color())
    assert {text.get_text() for text in axes.texts if isinstance(text, Annotation)} == {FASTER.label, NOISE.label}


def test_the_line_is_real_equals_ideal() -> None:
    axes = draw_speed_up([FASTER, NOISE]).axes[0]
    diagonals = [drawn for drawn in axes.lines if len(np.asarray(drawn.get_xdata())) == 2]
    assert any(np.array_equal(np.asarray(d.get_xdata()), np.asarray(d.get_ydata())) for d in diagonals)
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_everything_lies_inside_the_frame() -> None:
    slow = SpeedUpPoint(0.3, 0.05, 0.01, 0.2, "fully", "pvt")
    axes = draw_speed_up([slow, FASTER]).axes[0]
    assert axes.get_ylim()[0] < 0.01
    assert axes.get_xlim()[0] < 0.3
    assert axes.get_ylim()[1] > 1.7


def test_labels_name_what_differs() -> None:
    several = speed_up_points([line("pvt", 1), line("padded", 1)])
    assert [point.label for point in several] == ["pvt, kept 0.50", "padded, kept 0.50"]
    assert [point.group for point in several] == ["pvt", "padded"]
    batches = speed_up_points([line("pvt", 1), line("pvt", 8)])
    assert [point.label for point in batches] == ["batch 1, kept 0.50", "batch 8, kept 0.50"]
    assert [point.group for point in batches] == ["batch 1", "batch 8"]
    (alone,) = speed_up_points([line("pvt", 8)])
    assert alone.label == "kept 0.50"
    assert replace(alone, label="") == SpeedUpPoint(2.0, 1.5, 1.5, 1.5, "", "batch 8")


def test_nothing_to_plot_is_refused() -> None:
    with pytest.raises(UsageError, match="no comparison"):
        draw_speed_up([])
