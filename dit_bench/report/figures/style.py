"""What all figures share: colours that colour-blind readers tell apart, type sizes, and a fixed matplotlib style."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

INK = "#262626"
GREY = "#6e6e6e"
PALE = "#c8c8c8"
BLUE = "#0072b2"
VERMILION = "#b84a00"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d1f")
"""Okabe and Ito's colours, the strongest contrasts first; the last stands for their yellow, too pale on paper."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""One fewer than the colours, so that the pairs do not repeat together."""

STRIDES = (4, 8, 16, 32)
"""Input pixels per token and side at each scale of PVTv2."""

SMALL = 7.0
"""Smallest type in any figure, in points at the figure's own size."""
MEDIUM = 8.0

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": MEDIUM,
    "axes.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "dit-bench",
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Matplotlib's defaults plus our style, whatever the user's matplotlibrc says; restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """A figure of that size with an Agg canvas, outside pyplot's registry."""
    figure = Figure(figsize=(width_inches, height_inches), dpi=200, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def renderer_of(figure: Figure) -> RendererAgg:
    """The renderer with which text extents are measured."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg), "figure was not made by new_figure"
    return canvas.get_renderer()


def text_width(figure: Figure, text: str, size: float, *, weight: str = "normal") -> float:
    """Width of a line of text in inches at that type size."""
    probe = Text(0, 0, text, fontsize=size, fontweight=weight)
    probe.set_figure(figure)
    return probe.get_window_extent(renderer_of(figure)).width / figure.dpi


def wrap_to_width(figure: Figure, text: str, size: float, width_inches: float, max_lines: int) -> list[str]:
    """Break text between words into lines of at most that width; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(figure, f"{lines[-1]} {word}", size) <= width_inches:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    shown = lines[:max_lines]
    if len(lines) > max_lines:
        shown[-1] = f"{shown[-1]}…"
    return [_cut(figure, line, size, width_inches) for line in shown]


def _cut(figure: Figure, line: str, size: float, width_inches: float) -> str:
    cut = line
    while text_width(figure, cut, size) > width_inches and len(cut) > 1:
        cut = f"{cut.rstrip('…')[:-1].rstrip()}…"
    return cut
