"""Pictures with the classes of their pixels, true and predicted, and beside them the tokens that were processed."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from dit_bench.report.figures.class_legend import LINE, draw_legend, legend_height, legend_places
from dit_bench.report.figures.label_maps import MAPS_APART, ClassColours, LabelledPicture, draw_headed, draw_other
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
    write_lines,
)
from dit_bench.report.figures.style import SMALL, figure_style, new_figure, wrap_to_width

# Sizes in inches.
_TALLEST_PICTURE = 2.6
_TALLEST_STACK = 4.2
_LINES_APART = 0.08


@dataclass(frozen=True)
class SegmentItem(LabelledPicture):
    """One picture with the class of each pixel.

    `routing`, where the backbone has one, is drawn beside them; its own title is not.
    """

    routing: RoutingItem | None = None


def draw_segments(
    items: Sequence[SegmentItem],
    class_names: Sequence[str],
    *,
    scales: Sequence[int] = (0, 1, 2, 3),
    width_inches: float = 7.0,
) -> Figure:
    """Draw each picture, the true and the predicted class of its pixels, and its routing at `scales`.

    The three stand side by side, or one below the other where there is a routing, which is as high as they are
    together. A class has one colour in the whole figure, which the legend at the foot names; classes that cover less
    than half a percent of every map share a grey. Pixels that are not annotated are white in the truth. The figure is
    `width_inches` wide; its height follows.
    """
    assert items, "nothing to draw"
    routed = any(item.routing is not None for item in items)
    colours = ClassColours.of(items, class_names)
    with figure_style():
        heights = [_picture_height(item, len(scales), width_inches) for item in items]
        below = STRIP * routed + LINE
        body = sum(HEAD + _stack(item, height) + below for item, height in zip(items, heights, strict=True))
        body += len(items) * _LINES_APART
        legend = legend_places(colours.names, width_inches)
        foot = FOOT * routed + legend_height(legend)
        figure = new_figure(width_inches, body + foot + 2 * MARGIN)
        top = body + foot + MARGIN
        for item, height in zip(items, heights, strict=True):
            _draw_item(figure, item, colours, scales, top - HEAD, height)
            top -= HEAD + _stack(item, height) + below + _LINES_APART
        draw_legend(figure, legend, colours.named, MARGIN + foot, draw_other)
        if routed:
            draw_key(figure)
    return figure


def _picture_height(item: SegmentItem, rows: int, width_inches: float) -> float:
    """The height of one picture at which all of them, or a stack of them with its grid, fill the width."""
    pictures = 1 + len(item.maps)
    room = width_inches - 2 * MARGIN
    if item.routing is None:
        return min(_TALLEST_PICTURE, (room - (pictures - 1) * MAPS_APART) / (pictures * item.aspect))
    # A panel is a share of the stack's height, less the strips between the panels.
    columns = item.routing.live.shape[1] * item.routing.aspect
    fixed = GUTTER + SIDE + columns * (pictures - rows) * STRIP / rows
    height = (room - fixed) / (item.aspect + columns * pictures / rows)
    return min((_TALLEST_STACK - (pictures - 1) * STRIP) / pictures, height)


def _stack(item: SegmentItem, height: float) -> float:
    """Height of all pictures of an item, of which each has a height."""
    return height if item.routing is None else (1 + len(item.maps)) * (height + STRIP) - STRIP


def _draw_item(
    figure: Figure, item: SegmentItem, colours: ClassColours, scales: Sequence[int], top: float, height: float
) -> None:
    """Draw one picture with its maps and its routing, the upper edge of the first at `top`."""
    width, below = height * item.aspect, top - _stack(item, height)
    shown = {"Picture": item.image} | {name: colours.table[labels] for name, labels in item.maps.items()}
    for place, (heading, pixels) in enumerate(shown.items()):
        left, upper = MARGIN, top
        if item.routing is None:
            left += place * (width + MAPS_APART)
        else:
            upper -= place * (height + STRIP)
        draw_headed(figure, heading, pixels, left, upper, (width, height))
    right = MARGIN + len(shown) * (width + MAPS_APART) - MAPS_APART
    title = item.caption
    if item.routing is not None:
        panel = (top - below - (len(scales) - 1) * STRIP) / len(scales)
        right = draw_nodes(figure, item.routing, scales, MARGIN + width + GUTTER, top, panel)
        below -= STRIP
        title += "" if item.routing.gmacs is None else f" · {item.routing.gmacs:.3g} GMACs"
    write_lines(figure, wrap_to_width(figure, title, SMALL, right - MARGIN, 1), MARGIN, below - 0.03, LINE)
