"""Real against ideal speed-up: how much of what MACs promise the clock confirms."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from dit_bench.errors import UsageError
from dit_bench.report.bench_results import BenchLine
from dit_bench.report.figures.labels import LabelledPoint, place_labels
from dit_bench.report.figures.style import GREY, MARKERS, PALE, PALETTE, SMALL, figure_style, new_figure

_TICKS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_MARGIN = 1.3
"""Factor between the outermost end of an interval and the frame."""


@dataclass(frozen=True)
class SpeedUpPoint:
    """One comparison; `group` decides its colour."""

    ideal: float
    real: float
    low: float
    high: float
    label: str
    group: str

    @property
    def is_noise(self) -> bool:
        """Whether the interval includes 1."""
        return self.low <= 1 <= self.high


def speed_up_points(lines: Sequence[BenchLine]) -> list[SpeedUpPoint]:
    """Points of all comparisons, coloured by baseline if there are several, else by batch.

    A label names what differs between the lines: model, input, baseline, batch, and always the share kept.
    """
    by_baseline = len({line.baseline.kind for line in lines}) > 1
    parts = [
        (line.name, "x".join(map(str, line.image_size)), line.baseline.kind, f"batch {line.batch}") for line in lines
    ]
    varies = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    points = []
    for line, names in zip(lines, parts, strict=True):
        label = ", ".join([*(name for name, shown in zip(names, varies, strict=True) if shown), _kept(line)])
        real, group = line.speed_up.real, names[2] if by_baseline else names[3]
        points.append(SpeedUpPoint(line.speed_up.ideal, real.median, real.low, real.high, label, group))
    return points


def draw_speed_up(points: Sequence[SpeedUpPoint], *, title: str = "", width_inches: float = 4.8) -> Figure:
    """Draw real over ideal speed-up on equal logarithmic axes with the line real = ideal; bars are 95 % intervals.

    Points whose interval includes 1 are hollow. Raises UsageError if there is no point.
    """
    if not points:
        raise UsageError("no comparison to plot", remedy="name a baseline with --against")
    groups = list(dict.fromkeys(point.group for point in points))
    with figure_style():
        figure = new_figure(width_inches, 0.86 * width_inches)
        axes = figure.add_axes((0.12, 0.12, 0.85, 0.8 if title else 0.85))
        axes.set_xscale("log")
        axes.set_yscale("log")
        labelled = [_draw_point(axes, point, groups.index(point.group)) for point in points]
        _set_limits(axes, points)
        low, high = axes.get_xlim()
        span = (min(low, axes.get_ylim()[0]), max(high, axes.get_ylim()[1]))
        axes.plot(span, span, color=GREY, linewidth=0.8, zorder=1, scalex=False, scaley=False)
        axes.axhline(1, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)), zorder=1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator(_TICKS))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(StrMethodFormatter("{x:g}×"))
        axes.grid(color=PALE, linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL, width=0.6, colors=GREY)
        axes.set_xlabel("Ideal speed-up (ratio of MACs); grey line: real = ideal", fontsize=SMALL)
        axes.set_ylabel("Real speed-up (ratio of times, 95 % interval); hollow: within noise", fontsize=SMALL)
        if title:
            axes.set_title(title, fontsize=SMALL + 1, loc="left")
        place_labels(figure, axes, labelled)
    return figure


def _kept(line: BenchLine) -> str:
    return f"kept {line.kept_mean:.2f}"


def _draw_point(axes: Axes, point: SpeedUpPoint, group: int) -> LabelledPoint:
    colour = PALETTE[group % len(PALETTE)]
    axes.errorbar(
        point.ideal,
        point.real,
        yerr=[[point.real - point.low], [point.high - point.real]],
        fmt=MARKERS[group % len(MARKERS)],
        color=colour,
        markersize=5,
        markerfacecolor="white" if point.is_noise else colour,
        elinewidth=1.0,
        capsize=2.5,
        zorder=3,
    )
    # Labels keep clear of a bar that is as long downwards as upwards; a logarithmic axis has no place for 0.
    half = min(max(point.high - point.real, point.real - point.low), 0.9 * point.real)
    return LabelledPoint(point.ideal, point.real, 0.0, half, point.label, colour)


def _set_limits(axes: Axes, points: Sequence[SpeedUpPoint]) -> None:
    axes.set_xlim(min(1, *(point.ideal for point in points)) / _MARGIN, max(1, *(p.ideal for p in points)) * _MARGIN)
    axes.set_ylim(min(1, *(point.low for point in points)) / _MARGIN, max(1, *(p.high for p in points)) * _MARGIN)
