"""Places labels beside points so that none covers another label, a marker or an error bar."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from dit_bench.report.figures.style import INK, SMALL, renderer_of, text_width

_SLOPES = (0, 0.5, -0.5, 1, -1, 2, -2, 4, -4)
_DIRECTIONS = (*((1, up) for up in _SLOPES), *((-1, up) for up in _SLOPES), (0, 1), (0, -1))
"""Where a label lies seen from its marker: right before left, level before above and below."""
_DISTANCES = (7, 11, 16, 23, 32, 43, 56, 71, 90)
"""Points between marker and label that are tried in turn."""
_LEADER_FROM = 11
"""Gap in points from which a thin line leads from the label to its marker."""
_MARKER = 4.0
"""Half the side of a marker in points, with some air."""
_AIR = 1.5


@dataclass(frozen=True)
class LabelledPoint:
    """A point in data units with the half lengths of its error bars (0 where it has none)."""

    x: float
    y: float
    x_error: float
    y_error: float
    label: str
    color: str = INK
    """Of the line that leads to the label, if there is one."""
    text_color: str = INK


def place_labels(
    figure: Figure,
    axes: Axes,
    points: Sequence[LabelledPoint],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
) -> list[Annotation]:
    """Write each point's label at the nearest place around it that is free.

    Free means: inside the axes, clear of all markers, error bars, `lines` (through places in data units) and labels
    placed before, with a leader that crosses no label and no marker. Where no place is free, the one that covers least
    is taken. The limits of `axes` must be final, as places are judged in pixels.
    """
    pixel = figure.dpi / 72
    frame = axes.get_window_extent(renderer_of(figure))
    centres = [_pixels(axes, point.x, point.y) for point in points]
    markers = [_square(centre, _MARKER * pixel) for centre in centres]
    bars = [box for point in points for box in _error_bars(axes, point, _AIR * pixel)]
    bars += [box for line in lines for box in _along([_pixels(axes, *place) for place in line], pixel)]
    labels: list[Bbox] = []
    leaders: list[Bbox] = []
    placed = []
    for index, (point, centre) in enumerate(zip(points, centres, strict=True)):
        size = (text_width(figure, point.label, SMALL) * figure.dpi, 1.25 * SMALL * pixel)
        others = markers[:index] + markers[index + 1 :]
        best: tuple[float, Bbox, list[Bbox]] | None = None
        for distance, way in product(_DISTANCES, _DIRECTIONS):
            box = _box(centre, size, distance * pixel, way)
            gap = math.dist(centre, _nearest(centre, box))
            leader = _leader(centre, box, pixel) if gap >= _LEADER_FROM * pixel else []
            # Text on text is the worst; a leader that touches a marker of another colour does little harm.
            covered = 5 * (_outside(box, frame) + _shared([box, *leader], labels))
            covered += _shared([box], [*markers, *bars, *leaders]) + 0.5 * _shared(leader, others)
            if best is None or covered < best[0]:
                best = (covered, box, leader)
            if covered == 0:
                break
        assert best is not None
        _, box, leader = best
        labels.append(box)
        leaders += leader
        placed.append(_write(axes, point, centre, box, bool(leader), pixel))
    return placed


def _write(
    axes: Axes, point: LabelledPoint, centre: tuple[float, float], box: Bbox, led: bool, pixel: float
) -> Annotation:
    near = _nearest(centre, box)
    start = ((near[0] - box.x0) / box.width, (near[1] - box.y0) / box.height)
    arrow = {"arrowstyle": "-", "color": point.color, "linewidth": 0.6, "relpos": start, "shrinkA": 0, "shrinkB": 2}
    return axes.annotate(
        point.label,
        (point.x, point.y),
        xytext=((box.x0 - centre[0]) / pixel, (box.y0 + box.height / 2 - centre[1]) / pixel),
        textcoords="offset points",
        ha="left",
        va="center",
        fontsize=SMALL,
        color=point.text_color,
        arrowprops=arrow if led else None,
    )


def _pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def _square(centre: tuple[float, float], half: float) -> Bbox:
    return Bbox.from_extents(centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half)


def _error_bars(axes: Axes, point: LabelledPoint, air: float) -> list[Bbox]:
    x, y = _pixels(axes, point.x, point.y)
    left, low = _pixels(axes, point.x - point.x_error, point.y - point.y_error)
    right, high = _pixels(axes, point.x + point.x_error, point.y + point.y_error)
    return [
        Bbox.from_extents(left - air, y - air, right + air, y + air),
        Bbox.from_extents(x - air, low - air, x + air, high + air),
    ]


def _box(centre: tuple[float, float], size: tuple[float, float], distance: float, way: tuple[float, float]) -> Bbox:
    """Where a label of that size would lie: its near edge or corner `distance` off the centre along `way`."""
    x, y = centre[0] + way[0] * distance, centre[1] + way[1] * distance
    side = max(-1.0, min(1.0, way[1]))
    return Bbox.from_bounds(x + size[0] * (way[0] - 1) / 2, y + size[1] * (side - 1) / 2, *size)


def _nearest(centre: tuple[float, float], box: Bbox) -> tuple[float, float]:
    """The point of a box that lies nearest to `centre`."""
    return min(max(centre[0], box.x0), box.x1), min(max(centre[1], box.y0), box.y1)


def _leader(centre: tuple[float, float], box: Bbox, pixel: float) -> list[Bbox]:
    """The line from a marker to its label as a chain of small squares, ending just outside the label."""
    return _chain(centre, _nearest(centre, box), pixel, 0.7 * pixel)


def _along(places: Sequence[tuple[float, float]], pixel: float) -> list[Bbox]:
    """A line through places as a chain of squares."""
    return [box for start, end in pairwise(places) for box in _chain(start, end, 2 * _AIR * pixel, _AIR * pixel)]


def _chain(start: tuple[float, float], end: tuple[float, float], apart: float, half: float) -> list[Bbox]:
    """Squares of half a side `half` on the way between two places, some `apart` from each other."""
    steps = max(2, math.ceil(math.dist(start, end) / apart))
    shares = [((steps - k) / steps, k / steps) for k in range(1, steps)]
    return [_square((a * start[0] + b * end[0], a * start[1] + b * end[1]), half) for a, b in shares]


def _outside(box: Bbox, frame: Bbox) -> float:
    return box.width * box.height - _shared([box], [frame])


def _shared(boxes: Sequence[Bbox], others: Sequence[Bbox]) -> float:
    """Area in square pixels that two sets of boxes share."""
    area = 0.0
    for box in boxes:
        for other in others:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            area += max(0.0, width) * max(0.0, height)
    return area
