"""Pictures with the classes of their pixels, true and predicted, and beside them the tokens that were processed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dit_bench.report.figures.class_legend import LINE, draw_legend, legend_height, legend_places
from dit_bench.report.figures.detections import class_colours
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
    text_at,
    write_lines,
)
from dit_bench.report.figures.style import GREY, PALE, SMALL, figure_style, new_figure, wrap_to_width
from dit_bench.report.numbers import percent

IGNORED = 255
"""Label of pixels that are not annotated."""
SMALLEST_SHARE = 0.005
"""A class that covers less of every map has no colour of its own."""
_IGNORED_COLOUR, _IGNORED_NAME = "#ffffff", "not annotated"
_FURTHER_COLOUR = "#b5b5b5"

# Sizes in inches.
_MAPS_APART = 0.06
_TALLEST_PICTURE = 2.6
_TALLEST_STACK = 4.2
_LINES_APART = 0.08


@dataclass(frozen=True)
class SegmentItem:
    """One picture with the class of each pixel.

    `image` is uint8 (H, W, 3), the original picture; `predicted` and, where it is known, `truth` are uint8 (H, W) with
    the number of a class, 255 in the truth where a pixel is not annotated. `routing`, where the backbone has one, is
    drawn beside them; its own title is not.
    """

    image: np.ndarray
    predicted: np.ndarray
    title: str
    truth: np.ndarray | None = None
    routing: RoutingItem | None = None

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.image.shape[1] / self.image.shape[0]

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """The maps of classes by their headings."""
        return ({} if self.truth is None else {"Truth": self.truth}) | {"Prediction": self.predicted}

    @property
    def right_share(self) -> float | None:
        """Share of the annotated pixels that were taken for what they are; None where there are none."""
        if self.truth is None or not (annotated := self.truth != IGNORED).any():
            return None
        return float((self.truth == self.predicted)[annotated].mean())


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
    shown, further = _shown_classes(items)
    colours = {class_names[label]: colour for label, colour in shown.items()}
    table = _colour_table(shown)
    with figure_style():
        heights = [_picture_height(item, len(scales), width_inches) for item in items]
        below = STRIP * routed + LINE
        body = sum(HEAD + _stack(item, height) + below for item, height in zip(items, heights, strict=True))
        body += len(items) * _LINES_APART
        others = [f"{further} further class{'es' if further > 1 else ''}"] if further else []
        if any(item.truth is not None and (item.truth == IGNORED).any() for item in items):
            others.append(_IGNORED_NAME)
        legend = legend_places([*colours, *others], width_inches)
        foot = FOOT * routed + legend_height(legend)
        figure = new_figure(width_inches, body + foot + 2 * MARGIN)
        top = body + foot + MARGIN
        for item, height in zip(items, heights, strict=True):
            _draw_item(figure, item, table, scales, top - HEAD, height)
            top -= HEAD + _stack(item, height) + below + _LINES_APART
        draw_legend(figure, legend, colours, MARGIN + foot, _draw_other)
        if routed:
            draw_key(figure)
    return figure


def _shown_classes(items: Sequence[SegmentItem]) -> tuple[dict[int, str], int]:
    """The colour of each class that has one, by label and the largest first; and how many classes share the grey."""
    areas, largest = np.zeros(256), np.zeros(256)
    for item in items:
        for labels in item.maps.values():
            share = np.bincount(labels.ravel(), minlength=256) / labels.size
            areas, largest = areas + share, np.maximum(largest, share)
    areas[IGNORED] = largest[IGNORED] = 0
    named = [int(label) for label in np.argsort(-areas, kind="stable") if largest[label] >= SMALLEST_SHARE]
    # Numbers in the order of their areas, as text.
    colours = class_colours(f"{place:03d}" for place in range(len(named)))
    return dict(zip(named, colours.values(), strict=True)), int((largest > 0).sum()) - len(named)


def _colour_table(colours: Mapping[int, str]) -> np.ndarray:
    """The colour of each label, uint8 (256, 3)."""
    table = np.empty((256, 3))
    table[:] = to_rgb(_FURTHER_COLOUR)
    table[IGNORED] = to_rgb(_IGNORED_COLOUR)
    for label, colour in colours.items():
        table[label] = to_rgb(colour)
    return np.rint(255 * table).astype(np.uint8)


def _picture_height(item: SegmentItem, rows: int, width_inches: float) -> float:
    """The height of one picture at which all of them, or a stack of them with its grid, fill the width."""
    pictures = 1 + len(item.maps)
    room = width_inches - 2 * MARGIN
    if item.routing is None:
        return min(_TALLEST_PICTURE, (room - (pictures - 1) * _MAPS_APART) / (pictures * item.aspect))
    # A panel is a share of the stack's height, less the strips between the panels.
    columns = item.routing.live.shape[1] * item.routing.aspect
    fixed = GUTTER + SIDE + columns * (pictures - rows) * STRIP / rows
    height = (room - fixed) / (item.aspect + columns * pictures / rows)
    return min((_TALLEST_STACK - (pictures - 1) * STRIP) / pictures, height)


def _stack(item: SegmentItem, height: float) -> float:
    """Height of all pictures of an item, of which each has a height."""
    return height if item.routing is None else (1 + len(item.maps)) * (height + STRIP) - STRIP


def _draw_item(
    figure: Figure, item: SegmentItem, table: np.ndarray, scales: Sequence[int], top: float, height: float
) -> None:
    """Draw one picture with its maps and its routing, the upper edge of the first at `top`."""
    width, below = height * item.aspect, top - _stack(item, height)
    shown = {"Picture": item.image} | {name: table[labels] for name, labels in item.maps.items()}
    for place, (heading, pixels) in enumerate(shown.items()):
        left, upper = MARGIN, top
        if item.routing is None:
            left += place * (width + _MAPS_APART)
        else:
            upper -= place * (height + STRIP)
        axes = picture_at(figure, pixels, left, upper, (width, height))
        axes.set_gid(heading.lower())
        frame(axes)
        text_at(figure, left + width / 2, upper + 0.03, heading, ha="center", va="bottom", color=GREY)
    right = MARGIN + len(shown) * (width + _MAPS_APART) - _MAPS_APART
    title = item.title if item.right_share is None else f"{item.title} · {percent(item.right_share)} of pixels right"
    if item.routing is not None:
        panel = (top - below - (len(scales) - 1) * STRIP) / len(scales)
        right = draw_nodes(figure, item.routing, scales, MARGIN + width + GUTTER, top, panel)
        below -= STRIP
        title += "" if item.routing.gmacs is None else f" · {item.routing.gmacs:.3g} GMACs"
    write_lines(figure, wrap_to_width(figure, title, SMALL, right - MARGIN, 1), MARGIN, below - 0.03, LINE)


def _draw_other(axes: Axes, name: str) -> None:
    """The swatch of what is no class."""
    colour = _IGNORED_COLOUR if name == _IGNORED_NAME else _FURTHER_COLOUR
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=PALE, linewidth=0.6))
