"""How training went (PVT Figure 5): the loss of each epoch, and the figure of merit where it is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dit_bench.errors import UsageError
from dit_bench.report.figures.labels import LabelledPoint, place_labels
from dit_bench.report.figures.panels import MARGIN, axes_at, in_lines, text_at
from dit_bench.report.figures.style import GREY, MARKERS, PALE, PALETTE, SMALL, figure_style, new_figure, text_width
from dit_bench.report.numbers import fixed
from dit_bench.report.statistics import Summary, decimals_of

# Sizes in inches.
_PANEL_HEIGHT = 1.75
_NAME, _ABOVE, _BELOW = 0.2, 0.1, 0.42
"""Room of each line of panels for its name, if it has one, above it, and for the epochs."""
_LEFT, _APART, _RIGHT = 0.5, 0.55, 0.1
_TITLE = 0.3
_LINE, _SWATCH = 0.15, 0.3
"""Of the legend."""


@dataclass(frozen=True)
class TrainingCurve:
    """One row: means over seeds, with their spread, after each epoch (counted from 1) that has a value.

    `printed` are figures of merit of the paper, by epoch; `epochs` is the length of the training.
    """

    row_id: str
    label: str
    epochs: int
    loss: Mapping[int, Summary] = field(default_factory=dict)
    quality: Mapping[int, Summary] = field(default_factory=dict)
    printed: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CurvePanels:
    """Curves that are shown together."""

    label: str
    curves: Sequence[TrainingCurve]


def draw_curves(
    groups: Sequence[CurvePanels], *, quality_name: str, title: str = "", width_inches: float = 6.8
) -> Figure:
    """A line of panels for each group: the training loss over the epochs, if there are runs, and the figure of merit.

    Lines are means over seeds, bands and bars their SD. A figure of merit after a single epoch is a marker, a printed
    one is hollow. A row has one colour in the whole figure. Raises UsageError if there is nothing to draw.
    """
    shown = {curve.row_id: curve for group in groups for curve in group.curves if _has_content(curve)}
    if not shown:
        raise UsageError("no finished run to plot", remedy="train a row first, or name the folder with --results")
    numbers = {row: number for number, row in enumerate(shown)}
    drawn = [group for group in groups if any(curve.row_id in shown for curve in group.curves)]
    columns = 2 if any(curve.loss for curve in shown.values()) else 1
    with figure_style():
        labels = [curve.label for curve in shown.values()]
        legend = _legend_places(labels, width_inches)
        line_height = _NAME * any(group.label for group in drawn) + _ABOVE + _PANEL_HEIGHT + _BELOW
        body, foot = len(drawn) * line_height, (legend[-1][1] + 1) * _LINE + MARGIN
        height = _TITLE * bool(title) + body + foot
        figure = new_figure(width_inches, height)
        width = (width_inches - columns * _LEFT - (columns - 1) * (_APART - _LEFT) - _RIGHT) / columns
        for line, group in enumerate(drawn):
            bottom = body + foot - (line + 1) * line_height + _BELOW
            curves = [curve for curve in group.curves if curve.row_id in shown]
            for column in range(columns):
                left = _LEFT + column * (width + _APART)
                axes = axes_at(figure, left, bottom, width, _PANEL_HEIGHT)
                if columns == 2 and column == 0:
                    _draw_loss(axes, curves, numbers)
                else:
                    _draw_quality(figure, axes, curves, numbers, quality_name)
                if column == 0:
                    axes.set_title(group.label, fontsize=SMALL, loc="left")
        _draw_legend(figure, legend, labels, foot)
        if title:
            text_at(figure, _LEFT, height - 0.7 * _TITLE, title)
    return figure


def _has_content(curve: TrainingCurve) -> bool:
    return bool(curve.loss or curve.quality or curve.printed)


def _colour(number: int) -> str:
    return PALETTE[number % len(PALETTE)]


def _draw_loss(axes: Axes, curves: Sequence[TrainingCurve], numbers: Mapping[str, int]) -> None:
    for curve in curves:
        _draw_line(axes, curve.loss, _colour(numbers[curve.row_id]))
    _finish(axes, curves, "Training loss, mean of the epoch")


def _draw_quality(
    figure: Figure, axes: Axes, curves: Sequence[TrainingCurve], numbers: Mapping[str, int], name: str
) -> None:
    labelled = []
    for curve in curves:
        number = numbers[curve.row_id]
        colour, marker = _colour(number), MARKERS[number % len(MARKERS)]
        if len(curve.quality) > 1:
            _draw_line(axes, curve.quality, colour)
        for epoch, value in curve.printed.items():
            axes.plot(epoch, value, marker, color="white", markeredgecolor=colour, markersize=5.5, gid="printed")
            labelled.append(LabelledPoint(epoch, value, 0.0, 0.0, fixed(value, decimals_of(value)), colour, colour))
        if curve.quality:
            epoch, last = max(curve.quality.items())
            axes.errorbar(epoch, last.mean, yerr=last.sd or None, fmt=marker, color=colour, markersize=5.5, capsize=2.5)
            label = f"{fixed(last.mean, 1)} (n = {last.n})"
            labelled.append(LabelledPoint(epoch, last.mean, 0.0, last.sd or 0.0, label, colour, colour))
    if any(curve.printed for curve in curves):
        name += ", hollow: printed" + (", filled: ours" if any(curve.quality for curve in curves) else "")
    _finish(axes, curves, name)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    labelled.sort(key=lambda point: point.y, reverse=True)
    place_labels(figure, axes, labelled, [_places(curve.quality) for curve in curves])


def _places(values: Mapping[int, Summary]) -> list[tuple[float, float]]:
    """Where a line of means runs."""
    return [(epoch, values[epoch].mean) for epoch in sorted(values)]


def _draw_line(axes: Axes, values: Mapping[int, Summary], colour: str) -> None:
    """Means, and a band of one SD around them where there are several seeds."""
    epochs = sorted(values)
    means = [values[epoch].mean for epoch in epochs]
    spread = [values[epoch].sd or 0.0 for epoch in epochs]
    axes.plot(epochs, means, color=colour, linewidth=1.2, marker="." if len(epochs) == 1 else None)
    if any(spread):
        low, high = ([mean + sign * sd for mean, sd in zip(means, spread, strict=True)] for sign in (-1, 1))
        axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)


def _finish(axes: Axes, curves: Sequence[TrainingCurve], name: str) -> None:
    """Epochs from the start of training to the longest training's end, with room for labels."""
    axes.set_xlim(0, 1.08 * max(curve.epochs for curve in curves))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Epoch", fontsize=SMALL)
    axes.set_ylabel(name, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL, width=0.6, colors=GREY)
    axes.grid(color=PALE, linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend_places(labels: Sequence[str], width_inches: float) -> list[tuple[float, int]]:
    """Left edge in inches and line of each label's entry."""
    probe = new_figure(width_inches, 1)
    widths = [_SWATCH + text_width(probe, label, SMALL) for label in labels]
    return in_lines(widths, width_inches - _LEFT - _RIGHT, gap=0.2)


def _draw_legend(figure: Figure, places: Sequence[tuple[float, int]], labels: Sequence[str], top: float) -> None:
    """The rows in their colours, in lines below `top`."""
    across, up = figure.get_size_inches()
    for number, ((place, line), label) in enumerate(zip(places, labels, strict=True)):
        x, y = _LEFT + place, top - (line + 0.5) * _LINE
        ends = [x / across, (x + 0.22) / across]
        colour, marker = _colour(number), MARKERS[number % len(MARKERS)]
        figure.add_artist(Line2D(ends, [y / up, y / up], color=colour, linewidth=1.2, marker=marker, markersize=3.5))
        text_at(figure, x + _SWATCH, y, label, va="center_baseline")
