"""Accuracy against GMACs of finished runs, one marker per row, error bars over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from dit_bench.errors import UsageError
from dit_bench.report.figures.labels import LabelledPoint, place_labels
from dit_bench.report.figures.style import GREY, MARKERS, PALE, PALETTE, SMALL, figure_style, new_figure
from dit_bench.report.inputs import Quality, RowSpec, RunSummary, metric_by_seed, runs_by_row
from dit_bench.report.statistics import Summary, summarise

_MARGIN_FRACTION = 0.18
"""Air around the points, in which labels find room."""


@dataclass(frozen=True)
class TradeoffPoint:
    """One row: executed GMACs and accuracy in per cent, each as mean, SD and number of seeds."""

    label: str
    gmacs: Summary
    quality: Summary


def tradeoff_points(
    rows: Sequence[RowSpec], runs: Sequence[RunSummary], quality: Quality | None = None
) -> list[TradeoffPoint]:
    """Points of the rows that have runs with both figures, in the order of `rows`."""
    grouped, points = runs_by_row(runs), []
    for row in rows:
        group = grouped.get(row.id, [])
        gmacs = metric_by_seed(group, "gmacs_mean")
        values = metric_by_seed(group, (quality or Quality()).metric)
        if gmacs and values:
            points.append(TradeoffPoint(row.label, summarise(list(gmacs.values())), summarise(list(values.values()))))
    return points


def draw_tradeoff(
    points: Sequence[TradeoffPoint], *, quality_name: str = "Top-1 (%)", title: str = "", width_inches: float = 4.5
) -> Figure:
    """Draw accuracy over executed GMACs; bars are the SD over seeds on both axes, absent for a single seed.

    Raises UsageError if there is no point.
    """
    if not points:
        raise UsageError("no finished run to plot", remedy="train a row first, or name the folder with --results")
    with figure_style():
        figure = new_figure(width_inches, 0.68 * width_inches)
        axes = figure.add_axes((0.125, 0.15, 0.85, 0.76 if title else 0.82))
        labelled = []
        for index, point in enumerate(points):
            bars = (point.gmacs.sd or 0.0, point.quality.sd or 0.0)
            colour = PALETTE[index % len(PALETTE)]
            axes.errorbar(
                point.gmacs.mean,
                point.quality.mean,
                xerr=bars[0] or None,
                yerr=bars[1] or None,
                fmt=MARKERS[index % len(MARKERS)],
                color=colour,
                markersize=5.5,
                markeredgecolor="white",
                markeredgewidth=0.5,
                elinewidth=1.0,
                capsize=2.5,
                zorder=3,
            )
            label = f"{point.label} (n = {point.quality.n})"
            labelled.append(LabelledPoint(point.gmacs.mean, point.quality.mean, *bars, label, colour))
        axes.set_xlim(*_limits([(p.x, p.x_error) for p in labelled], floor=0.0))
        axes.set_ylim(*_limits([(p.y, p.y_error) for p in labelled], floor=None))
        axes.grid(color=PALE, linewidth=0.4, alpha=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL, width=0.6, colors=GREY)
        axes.set_xlabel("GMACs per image (mean over images ± SD over seeds)", fontsize=SMALL)
        axes.set_ylabel(f"{quality_name}, ± SD over seeds", fontsize=SMALL)
        if title:
            axes.set_title(title, fontsize=SMALL + 1, loc="left")
        place_labels(figure, axes, labelled)
    return figure


def _limits(values: Sequence[tuple[float, float]], floor: float | None) -> tuple[float, float]:
    """Axis limits around values and their bars, with air; never below `floor`."""
    low, high = min(v - e for v, e in values), max(v + e for v, e in values)
    # A lone point has no extent: take a tenth of its value.
    air = _MARGIN_FRACTION * ((high - low) or 0.1 * abs(high) or 1.0)
    start = low - air
    return (start if floor is None else max(floor, start)), high + air
