"""The legend at the foot of a figure that names classes by their colours."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dit_bench.report.figures.panels import MARGIN, axes_at, in_lines, text_at
from dit_bench.report.figures.style import GREY, INK, SMALL, new_figure, text_width

LINE = 0.14
"""Of small type, with air; inches."""
_GAP = 0.16
_SWATCH = 0.17

Places = Sequence[tuple[float, int, str]]
"""Left edge in inches, line and name of each entry."""


def legend_places(names: Sequence[str], width_inches: float) -> Places:
    """Where the entries of a legend stand in a figure of that width."""
    probe = new_figure(width_inches, 1)
    widths = [_SWATCH + text_width(probe, name, SMALL) for name in names]
    places = in_lines(widths, width_inches - 2 * MARGIN, _GAP)
    return [(MARGIN + x, line, name) for (x, line), name in zip(places, names, strict=True)]


def legend_height(places: Places) -> float:
    """Height of a legend in inches."""
    return (places[-1][1] + 1) * LINE if places else 0.0


def draw_legend(
    figure: Figure, places: Places, colours: Mapping[str, str], top: float, draw_other: Callable[[Axes, str], None]
) -> None:
    """Names with their colours, in lines below `top`; what has no colour is drawn by `draw_other` and named in grey."""
    for x, line, name in places:
        y = top - (line + 0.5) * LINE
        axes = axes_at(figure, x, y - 0.05, 0.12, 0.1)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_axis_off()
        if name in colours:
            axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=colours[name], edgecolor="none"))
        else:
            draw_other(axes, name)
        colour = INK if name in colours else GREY
        text_at(figure, x + _SWATCH, y, name, ha="left", va="center_baseline", color=colour)
