"""Figure 4 of DiT: the routing space as a grid of nodes, with the ratio of tokens skipped over each line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon

from dit_bench.report.figures.style import (
    BLUE,
    GREY,
    INK,
    MEDIUM,
    PALE,
    SMALL,
    STRIDES,
    VERMILION,
    figure_style,
    new_figure,
    text_width,
)
from dit_bench.report.numbers import percent
from dit_bench.report.skip_statistics import SkipStatistics

_STAGE_COLOURS = LinearSegmentedColormap.from_list("kept", ["#9cc3df", BLUE])
_COLUMN_COLOURS = LinearSegmentedColormap.from_list("open", ["#ecbf9f", VERMILION])

# Sizes in inches.
_ROW = 0.8
_TOP = 0.52
_BOTTOM = 0.36
_LEFT = 0.58
_RIGHT = 0.42
_GUTTER = 0.1
_FOOT = 0.26
_NODE = 0.055
"""Radius of a node."""
_WIDEST_PANEL = 5.5
_THINNEST, _THICKEST = 0.012, 0.062
"""Thickness of a line at a ratio of 0 and 1."""


@dataclass(frozen=True)
class _Panel:
    """One grid on axes whose data units are inches."""

    axes: Axes
    entry: SkipStatistics
    step: float
    """Distance of two columns of nodes."""
    top: float

    def x(self, column: float) -> float:
        return _LEFT + column * self.step

    def y(self, scale: float) -> float:
        return self.top - scale * _ROW

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = SMALL,
        color: str = GREY,
        ha: Literal["left", "center", "right"] = "center",
        va: Literal["bottom", "center", "top"] = "center",
        weight: str = "normal",
    ) -> None:
        self.axes.text(x, y, text, fontsize=size, color=color, ha=ha, va=va, weight=weight)


def draw_skips(statistics: Sequence[SkipStatistics], *, width_inches: float = 7.0, per_row: int = 2) -> Figure:
    """Draw one routing grid per data set, scales as rows and stages as columns; at most `width_inches` wide.

    Over each horizontal line stands the share of tokens that the stage skipped, below it the SD over images in percent
    points and, where it was not live for all, the share of images in which the scale was live; ratio and SD refer to
    those images. Beside each vertical line stands the share of images whose column gate was open. Lines are the thicker
    and darker the more passes through them; a dotted grey line was never used.
    """
    assert statistics, "nothing to draw"
    per_row = min(per_row, len(statistics))
    lines = -(-len(statistics) // per_row)
    width_inches = min(width_inches, per_row * _WIDEST_PANEL)
    width = (width_inches - (per_row - 1) * _GUTTER) / per_row
    tallest = max(len(entry.skip_ratio) for entry in statistics)
    height = _TOP + (tallest - 1) * _ROW + _BOTTOM
    total = lines * height + _FOOT
    with figure_style():
        figure = new_figure(width_inches, total)
        for index, entry in enumerate(statistics):
            line, place = divmod(index, per_row)
            axes = _inch_axes(figure, place * (width + _GUTTER), total - (line + 1) * height, width, height)
            step = (width - _LEFT - _RIGHT) / entry.skip_ratio.shape[1]
            _draw_grid(_Panel(axes, entry, step, height - _TOP))
        _draw_key(figure, _inch_axes(figure, 0, 0, width_inches, _FOOT))
    return figure


def _draw_grid(panel: _Panel) -> None:
    entry = panel.entry
    scales, stages = entry.skip_ratio.shape
    centre = panel.x(stages / 2)
    panel.text(centre, panel.top + 0.43, f"{entry.title} ({entry.num_images:,} images)", size=MEDIUM, color=INK)
    for stage in range(stages):
        panel.text(panel.x(stage + 0.5), panel.top + 0.26, f"Stage {stage + 1}")
    for scale in range(scales):
        panel.text(_LEFT - _NODE - 0.05, panel.y(scale), f"Stride {STRIDES[scale]}", ha="right")
        for stage in range(stages):
            _draw_stage(panel, scale, stage)
        for column in range(stages + 1):
            if scale < scales - 1:
                _draw_column(panel, scale, column)
            place = (panel.x(column), panel.y(scale))
            panel.axes.add_patch(Circle(place, _NODE, facecolor="white", edgecolor=INK, linewidth=0.8, zorder=3))


def _draw_stage(panel: _Panel, scale: int, stage: int) -> None:
    """The line of one stage at one scale, with the skip ratio over it and its spread below."""
    entry, y, middle = panel.entry, panel.y(scale), panel.x(stage + 0.5)
    start, end = (panel.x(stage) + _NODE, y), (panel.x(stage + 1) - _NODE, y)
    skipped, live = float(entry.skip_ratio[scale, stage]), float(entry.live[scale, stage])
    if np.isnan(skipped):
        _draw_unused(panel, start, end)
        panel.text(middle, y + 0.04, "not live", va="bottom")
        return
    _draw_arrow(panel, start, end, 1 - skipped, _STAGE_COLOURS)
    panel.text(middle, y + 0.06, percent(skipped), size=MEDIUM, color=INK, va="bottom", weight="bold")
    spread = float(entry.skip_sd[scale, stage])
    below = [] if np.isnan(spread) else [f"± {100 * spread:.0f}"]
    below += [] if live == 1 else [f"live {percent(live)}"]
    for index, line in enumerate(below):
        panel.text(middle, y - 0.06 - 0.11 * index, line, va="top")


def _draw_column(panel: _Panel, scale: int, column: int) -> None:
    """The patch embedding from one scale to the next in one column, with the share of images that used it."""
    share, x = float(panel.entry.column_open[scale, column]), panel.x(column)
    start, end = (x, panel.y(scale) - _NODE), (x, panel.y(scale + 1) + _NODE)
    if share == 0:
        _draw_unused(panel, start, end)
    else:
        _draw_arrow(panel, start, end, share, _COLUMN_COLOURS)
    label = panel.y(scale + 0.61)
    panel.text(x + 0.05, label, percent(share), color=VERMILION if share else GREY, ha="left")


def _draw_arrow(
    panel: _Panel, start: tuple[float, float], end: tuple[float, float], ratio: float, colours: Colormap
) -> None:
    """A filled arrow, right or down, whose thickness and darkness grow with `ratio`."""
    half = (_THINNEST + (_THICKEST - _THINNEST) * ratio) / 2
    head, wing = 0.07, half + 0.022
    tip, tail = np.array(end), np.array(start)
    along = (tip - tail) / np.linalg.norm(tip - tail)
    aside = np.array([-along[1], along[0]])
    neck = tip - head * along
    outline = [tail + half * aside, neck + half * aside, neck + wing * aside, tip]
    outline += [neck - wing * aside, neck - half * aside, tail - half * aside]
    panel.axes.add_patch(Polygon(np.array(outline), closed=True, facecolor=colours(ratio), edgecolor="none", zorder=2))


def _draw_unused(panel: _Panel, start: tuple[float, float], end: tuple[float, float]) -> None:
    panel.axes.plot([start[0], end[0]], [start[1], end[1]], color=PALE, linewidth=1.0, linestyle=":", zorder=1)


def _draw_key(figure: Figure, axes: Axes) -> None:
    """What the numbers mean, at the foot of the figure."""
    x = 0.06
    for name, colour, label in (
        ("12 %", INK, "tokens skipped"),
        ("± 3", GREY, "SD over images"),
        ("live 50 %", GREY, "scale live (if not always)"),
        ("50 %", VERMILION, "column gate open"),
    ):
        weight = "bold" if colour == INK else "normal"
        axes.text(x, 0.1, name, fontsize=SMALL, color=colour, weight=weight, va="center")
        x += text_width(figure, name, SMALL, weight=weight) + 0.05
        axes.text(x, 0.1, label, fontsize=SMALL, color=GREY, va="center")
        x += text_width(figure, label, SMALL) + 0.2


def _inch_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Invisible axes at a place given in inches, with inches as data units."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    return axes
