"""MACs of models over the side of their input (PVT Figure 6): in GMACs, and relative to the smallest input."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from dit_bench.report.figures.style import GREY, MARKERS, PALE, PALETTE, SMALL, figure_style, new_figure

OrderVerdict = Literal["reproduced", "contradicted"]
_NEAREST_LABELS = 0.062
"""Smallest distance of two labels at the end of the lines, as a share of the axis' height."""


@dataclass(frozen=True)
class GrowthCurve:
    """GMACs (matrix products) of one model at square inputs of several sides."""

    label: str
    sides_px: tuple[int, ...]
    gmacs: tuple[float, ...]

    @property
    def factor(self) -> float:
        """How many times the largest input costs what the smallest does."""
        return self.gmacs[-1] / self.gmacs[0]

    @property
    def increase(self) -> float:
        """GMACs by which the largest input costs more than the smallest."""
        return self.gmacs[-1] - self.gmacs[0]


def order_verdict(values: Sequence[float]) -> OrderVerdict:
    """Whether values fall from the first to the last, as the caption of the figure orders its models."""
    return "reproduced" if all(higher > lower for higher, lower in pairwise(values)) else "contradicted"


def growth_statements(curves: Sequence[GrowthCurve]) -> list[str]:
    """The caption's order of growth, judged by both things that "growth rate" may mean; curves are in that order."""
    first, last = curves[0].sides_px[0], curves[0].sides_px[-1]
    statements = []
    for name, values, unit in (
        ("increase in GMACs", [curve.increase for curve in curves], "+{:.1f}"),
        ("factor", [curve.factor for curve in curves], "×{:.1f}"),
    ):
        shown = ", ".join(f"{curve.label} {unit.format(value)}" for curve, value in zip(curves, values, strict=True))
        statements.append(f"growth from {first} to {last} px, {name}: {shown}: order {order_verdict(values)}")
    return statements


def draw_growth(curves: Sequence[GrowthCurve], *, title: str = "", width_inches: float = 6.8) -> Figure:
    """Two panels over the side of the input: GMACs, linear as in the paper, and the factor against the first side."""
    with figure_style():
        figure = new_figure(width_inches, 0.46 * width_inches)
        panels = (
            ("GMACs per image", [curve.gmacs for curve in curves]),
            ("GMACs over those of the smallest input", [tuple(g / c.gmacs[0] for g in c.gmacs) for c in curves]),
        )
        for position, (name, values) in enumerate(panels):
            axes = figure.add_axes((0.07 + 0.5 * position, 0.2, 0.315, 0.67))
            _draw_panel(axes, curves, values, name)
        if title:
            figure.text(0.07, 0.94, title, fontsize=SMALL + 1)
    return figure


def _draw_panel(axes: Axes, curves: Sequence[GrowthCurve], values: Sequence[Sequence[float]], name: str) -> None:
    for index, (curve, heights) in enumerate(zip(curves, values, strict=True)):
        colour, marker = PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]
        axes.plot(curve.sides_px, heights, color=colour, marker=marker, markersize=3.5, linewidth=1.2)
    axes.set_ylim(bottom=0)
    axes.set_xlim(right=1.02 * curves[0].sides_px[-1])
    for place, index in _label_places([heights[-1] for heights in values], axes.get_ylim()[1]):
        axes.annotate(
            curves[index].label,
            xy=(1.0, place),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=SMALL,
            color=PALETTE[index % len(PALETTE)],
            verticalalignment="center",
            annotation_clip=False,
        )
    axes.xaxis.set_major_locator(FixedLocator(curves[0].sides_px))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=SMALL, width=0.6, colors=GREY)
    axes.tick_params(axis="x", rotation=60)
    axes.set_xlabel("Side of the square input (px)", fontsize=SMALL)
    axes.set_title(name, fontsize=SMALL, loc="left")
    axes.grid(color=PALE, linewidth=0.4, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _label_places(ends: Sequence[float], top: float) -> list[tuple[float, int]]:
    """Heights (share of the axis) of the labels at the end of the lines, pushed apart from the lowest up."""
    places: list[tuple[float, int]] = []
    for index in sorted(range(len(ends)), key=lambda k: ends[k]):
        floor = places[-1][0] + _NEAREST_LABELS if places else 0.0
        places.append((max(ends[index] / top, floor), index))
    return places
