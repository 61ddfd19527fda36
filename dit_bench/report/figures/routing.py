"""Figure 3 of DiT: which tokens each stage processed, at every scale, drawn over the picture itself."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from dit_bench.report.figures.panels import (
    FOOT,
    GUTTER,
    HEAD,
    MARGIN,
    SIDE,
    STRIP,
    RoutingItem,
    draw_key,
    draw_nodes,
    frame,
    picture_at,
    write_lines,
)
from dit_bench.report.figures.style import SMALL, figure_style, new_figure, wrap_to_width

_LINE = 0.13
_LARGEST_PANEL = 1.1


def draw_routing(
    items: Sequence[RoutingItem],
    *,
    scales: Sequence[int] = (1, 2, 3),
    per_row: int | None = None,
    width_inches: float = 7.0,
) -> Figure:
    """Draw each picture with a grid of its stages (columns) at `scales` (rows; 0 is stride 4), as DiT's Figure 3.

    Skipped tokens are white, kept ones show the picture; a scale that no column gate had opened yet is grey and
    hatched. Below each panel stands the percentage of tokens kept. `per_row` pictures stand side by side (default: one
    for a single picture, else two). The figure is `width_inches` wide; its height follows.
    """
    assert items, "nothing to draw"
    shapes = {item.live.shape for item in items}
    assert len(shapes) == 1, f"pictures come from different routing spaces: {shapes}"
    num_scales, stages = shapes.pop()
    assert all(0 <= scale < num_scales for scale in scales), f"no scales {scales} among {num_scales}"
    per_row = per_row or min(2, len(items))
    lines = [items[start : start + per_row] for start in range(0, len(items), per_row)]

    with figure_style():
        # One panel height for all pictures of the figure: the fullest line decides it.
        panel = min(_panel_height(line, stages, len(scales), width_inches) for line in lines)
        body = len(scales) * (panel + STRIP)
        height = MARGIN + len(lines) * (HEAD + body) + (len(lines) - 1) * GUTTER + FOOT
        figure = new_figure(width_inches, height)
        for index, line in enumerate(lines):
            left, top = MARGIN, height - MARGIN - index * (HEAD + body + GUTTER)
            for item in line:
                left = _draw_item(figure, item, scales, left, top - HEAD, panel) + GUTTER
        draw_key(figure)
    return figure


def _picture_rows(rows: int) -> int:
    """Rows of the grid beside which the picture stands; its title takes what is left below it."""
    return 2 if rows >= 3 else 1


def _panel_height(line: Sequence[RoutingItem], stages: int, rows: int, width_inches: float) -> float:
    """Panel height at which these pictures fill the width: each needs a picture and `stages` panels of its aspect."""
    aspects = [item.aspect for item in line]
    beside = _picture_rows(rows)
    fixed = 2 * MARGIN + (len(line) - 1) * GUTTER + len(line) * SIDE
    fixed += sum((beside - 1) * STRIP * aspect for aspect in aspects)
    return min(_LARGEST_PANEL, (width_inches - fixed) / sum((beside + stages) * aspect for aspect in aspects))


def _draw_item(
    figure: Figure, item: RoutingItem, scales: Sequence[int], left: float, top: float, panel: float
) -> float:
    """Draw one picture and its grid with their upper left corner at (left, top) inches; return their right edge."""
    side = _picture_rows(len(scales)) * (panel + STRIP) - STRIP
    frame(picture_at(figure, item.image, left, top, (side * item.aspect, side)))
    _write_title(figure, item, left, top - side, side * item.aspect, len(scales) * (panel + STRIP) - side)
    return draw_nodes(figure, item, scales, left + side * item.aspect, top, panel)


def _write_title(figure: Figure, item: RoutingItem, left: float, top: float, width: float, height: float) -> None:
    """Title and cost below the picture, in as many lines as the space takes."""
    room = max(1, int((height - 0.02) / _LINE))
    cost = [] if item.gmacs is None else [f"{item.gmacs:.3g} GMACs"]
    if room == 1:
        lines = wrap_to_width(figure, " · ".join([item.title, *cost]), SMALL, width, 1)
    else:
        lines = wrap_to_width(figure, item.title, SMALL, width, room - len(cost)) + cost
    write_lines(figure, lines, left, top - 0.04, _LINE)
