"""One metric against another, one marker per row: as runs have it, error bars over seeds, and as it is printed."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dit_bench.errors import UsageError
from dit_bench.report.figures.labels import LabelledPoint, place_labels
from dit_bench.report.figures.style import GREY, MARKERS, PALE, PALETTE, SMALL, figure_style, new_figure
from dit_bench.report.inputs import RowSpec, RunSummary, metric_by_seed, runs_by_row
from dit_bench.report.statistics import Summary, summarise

GMACS_NAME = "GMACs per image (mean over images ± SD over seeds)"
_MARGIN_FRACTION = 0.18
"""Air around the points, in which labels find room."""


@dataclass(frozen=True)
class TradeoffPoint:
    """One row: both metrics as mean, SD and number of seeds; or as they are printed, without spread."""

    label: str
    x: Summary
    y: Summary
    row_id: str = ""
    printed: bool = False

    @property
    def key(self) -> str:
        """What the points of one row have in common."""
        return self.row_id or self.label


def tradeoff_points(
    rows: Sequence[RowSpec],
    runs: Sequence[RunSummary],
    horizontal: str = "gmacs_mean",
    vertical: str = "top1_percent",
) -> list[TradeoffPoint]:
    """Points of the rows that have runs with both metrics, in the order of `rows`."""
    grouped, points = runs_by_row(runs), []
    for row in rows:
        across, up = (metric_by_seed(grouped.get(row.id, []), metric) for metric in (horizontal, vertical))
        if across and up:
            x, y = summarise(list(across.values())), summarise(list(up.values()))
            points.append(TradeoffPoint(row.label, x, y, row.id))
    return points


def printed_point(row: RowSpec, x: float, y: float) -> TradeoffPoint:
    """A row as the paper has it."""
    return TradeoffPoint(row.label, Summary(x, None, None, 1), Summary(y, None, None, 1), row.id, printed=True)


def draw_tradeoff(
    points: Sequence[TradeoffPoint],
    *,
    x_name: str = GMACS_NAME,
    y_name: str = "Top-1 (%)",
    groups: Sequence[Sequence[str]] = (),
    title: str = "",
    width_inches: float = 4.5,
) -> Figure:
    """Draw the points; bars are the SD over seeds on both axes, absent for a single seed. Printed points are hollow.

    Each of `groups`, ids of rows, has one colour, and a line joins its printed points and another its measured ones in
    that order. Without groups each row has a colour of its own. Raises UsageError if there is no point.
    """
    if not points:
        raise UsageError("no finished run to plot", remedy="train a row first, or name the folder with --results")
    styles = _styles(points, groups)
    with figure_style():
        figure = new_figure(width_inches, 0.68 * width_inches)
        axes = figure.add_axes((0.125, 0.15, 0.85, 0.76 if title else 0.82))
        lines = _join_groups(axes, points, groups, styles)
        labelled = [_draw_point(axes, point, *styles[point.key]) for point in points]
        axes.set_xlim(*_limits([(p.x, p.x_error) for p in labelled], floor=0.0))
        axes.set_ylim(*_limits([(p.y, p.y_error) for p in labelled], floor=None))
        axes.grid(color=PALE, linewidth=0.4, alpha=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL, width=0.6, colors=GREY)
        axes.set_xlabel(x_name, fontsize=SMALL)
        axes.set_ylabel(f"{y_name}{_kinds(points)}", fontsize=SMALL)
        if title:
            axes.set_title(title, fontsize=SMALL + 1, loc="left")
        place_labels(figure, axes, labelled, lines)
    return figure


def _kinds(points: Sequence[TradeoffPoint]) -> str:
    """What stands behind the name of the vertical axis."""
    if not any(point.printed for point in points):
        return ", ± SD over seeds"
    both = not all(point.printed for point in points)
    return ", hollow: printed, filled: ours ± SD over seeds" if both else ", as printed"


def _styles(points: Sequence[TradeoffPoint], groups: Sequence[Sequence[str]]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each row."""
    of_group = {row: number for number, group in enumerate(groups) for row in group}
    loose = [key for key in dict.fromkeys(point.key for point in points) if key not in of_group]
    numbers = of_group | {key: len(groups) + number for number, key in enumerate(loose)}
    return {key: (PALETTE[n % len(PALETTE)], MARKERS[n % len(MARKERS)]) for key, n in numbers.items()}


def _join_groups(
    axes: Axes, points: Sequence[TradeoffPoint], groups: Sequence[Sequence[str]], styles: dict[str, tuple[str, str]]
) -> list[list[tuple[float, float]]]:
    """Draw the lines, and return the places that each goes through."""
    lines = []
    for group in groups:
        for printed in (True, False):
            by_row = {point.key: (point.x.mean, point.y.mean) for point in points if point.printed == printed}
            joined = [by_row[row] for row in group if row in by_row]
            if len(joined) > 1:
                across, up = zip(*joined, strict=True)
                axes.plot(across, up, color=styles[group[0]][0], linewidth=0.9, alpha=0.7, zorder=2)
                lines.append(joined)
    return lines


def _draw_point(axes: Axes, point: TradeoffPoint, colour: str, marker: str) -> LabelledPoint:
    bars = (point.x.sd or 0.0, point.y.sd or 0.0)
    face, edge = ("white", colour) if point.printed else (colour, "white")
    axes.errorbar(
        point.x.mean,
        point.y.mean,
        xerr=bars[0] or None,
        yerr=bars[1] or None,
        fmt=marker,
        color=colour,
        markersize=5.5,
        markerfacecolor=face,
        markeredgecolor=edge,
        markeredgewidth=1.0 if point.printed else 0.5,
        elinewidth=1.0,
        capsize=2.5,
        zorder=3,
    )
    label = point.label if point.printed else f"{point.label} (n = {point.y.n})"
    return LabelledPoint(point.x.mean, point.y.mean, *bars, label, colour)


def _limits(values: Sequence[tuple[float, float]], floor: float | None) -> tuple[float, float]:
    """Axis limits around values and their bars, with air; never below `floor`."""
    low, high = min(v - e for v, e in values), max(v + e for v, e in values)
    # A lone point has no extent: take a tenth of its value.
    air = _MARGIN_FRACTION * ((high - low) or 0.1 * abs(high) or 1.0)
    start = low - air
    return (start if floor is None else max(floor, start)), high + air
