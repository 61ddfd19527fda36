"""Pictures with what a detector found in them, and beside each the tokens that its backbone processed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from dit_bench.report.figures.class_legend import LINE, draw_legend, legend_height, legend_places
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
from dit_bench.report.figures.style import (
    INK,
    PALETTE,
    SMALL,
    figure_style,
    new_figure,
    text_width,
    wrap_to_width,
)

MIN_SCORE = 0.3
_MASK_OPACITY = 0.45
_TRUTH = "white"

# Sizes in inches.
_LABEL_AIR = 0.02
_TALLEST_PICTURE = 3.9
_LINES_APART = 0.1


@dataclass(frozen=True)
class DetectionItem:
    """One picture with what was found in it.

    `image` is uint8 (H, W, 3), the original picture. `boxes` (n, 4) are x1, y1, x2, y2 in its pixels, `names` the n
    classes, `scores` (n,); `masks` bool (n, H, W) where masks were predicted. `true_boxes` (m, 4) are those of the
    annotated objects. `routing`, where the backbone has one, is drawn beside the picture; its own title is not.
    """

    image: np.ndarray
    boxes: np.ndarray
    names: Sequence[str]
    scores: np.ndarray
    title: str
    masks: np.ndarray | None = None
    true_boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    routing: RoutingItem | None = None

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.image.shape[1] / self.image.shape[0]

    def shown(self, min_score: float) -> list[int]:
        """Which detections reach a score, best first."""
        order = np.argsort(-np.asarray(self.scores), kind="stable")
        return [int(k) for k in order if self.scores[k] >= min_score]


def class_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each class: the strongest contrasts for the most frequent ones, then those farthest from all."""
    counts = Counter(names)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    colours: list[str] = list(PALETTE)
    while len(colours) < len(ordered):
        colours.append(_farthest_colour(colours))
    return dict(zip(ordered, colours, strict=False))


def paint_masks(image: np.ndarray, masks: Iterable[np.ndarray], colours: Iterable[str]) -> np.ndarray:
    """The picture uint8 (H, W, 3) under translucent masks bool (H, W), each in its colour; later ones lie on top."""
    painted = image.astype(np.float64)
    for mask, colour in zip(masks, colours, strict=True):
        # From the picture itself: what lies below a mask does not shine through.
        tint = 255 * np.array(to_rgb(colour))
        painted[mask] = (1 - _MASK_OPACITY) * image[mask] + _MASK_OPACITY * tint
    return painted.round().astype(np.uint8)


def draw_detections(
    items: Sequence[DetectionItem],
    *,
    min_score: float = MIN_SCORE,
    scales: Sequence[int] = (0, 1, 2, 3),
    width_inches: float = 7.0,
) -> Figure:
    """Draw each picture with the detections that reach `min_score`, and its routing at `scales` beside it.

    A class has one colour in the whole figure, which the legend at the foot names. A detection's class and score stand
    at its box where there is room; the better detection comes first. Annotated boxes are dashed in white. Pictures
    without routing stand two in a line. The figure is `width_inches` wide; its height follows.
    """
    assert items, "nothing to draw"
    routed = any(item.routing is not None for item in items)
    per_line = 1 if routed else min(2, len(items))
    lines = [items[start : start + per_line] for start in range(0, len(items), per_line)]
    colours = class_colours(item.names[k] for item in items for k in item.shown(min_score))
    with figure_style():
        heights = [_picture_height(line, len(scales), width_inches) for line in lines]
        head, below = (HEAD, STRIP + LINE) if routed else (MARGIN, 2 * LINE)
        body = sum(head + height + below for height in heights) + len(lines) * _LINES_APART
        truth = any(len(item.true_boxes) for item in items)
        legend = legend_places([*colours, *(["annotated"] if truth else [])], width_inches)
        foot = FOOT * routed + legend_height(legend)
        figure = new_figure(width_inches, body + foot + 2 * MARGIN)
        top = body + foot + MARGIN
        for line, height in zip(lines, heights, strict=True):
            left = MARGIN
            for item in line:
                left = _draw_item(figure, item, colours, min_score, scales, left, top - head, height) + GUTTER
            top -= head + height + below + _LINES_APART
        draw_legend(figure, legend, colours, MARGIN + foot, _draw_truth_swatch)
        if routed:
            draw_key(figure)
    return figure


def _farthest_colour(taken: Sequence[str]) -> str:
    """Of 72 colours, three brightnesses of 24 hues, the one whose nearest neighbour among those taken is farthest."""
    used = np.array([to_rgb(colour) for colour in taken])
    hue, value = np.meshgrid(np.arange(24) / 24, (1.0, 0.75, 0.5))
    candidates = hsv_to_rgb(np.stack([hue.ravel(), np.full(hue.size, 0.85), value.ravel()], axis=1))
    # The eye sees differences of green best and of blue worst.
    distance = ((candidates[:, None] - used) ** 2 * (3, 4, 2)).sum(axis=2).min(axis=1)
    red, green, blue = candidates[distance.argmax()]
    return to_hex((red, green, blue))


def _picture_height(line: Sequence[DetectionItem], rows: int, width_inches: float) -> float:
    """The height at which pictures, each with a grid as high as itself, fill the width."""
    fixed = 2 * MARGIN + (len(line) - 1) * GUTTER
    across = 0.0
    for item in line:
        across += item.aspect
        if item.routing is not None:
            # A panel is a share of the picture's height, less the strips between the panels.
            columns = item.routing.live.shape[1] * item.routing.aspect
            across += columns / rows
            fixed += GUTTER + SIDE - columns * (rows - 1) * STRIP / rows
    return min(_TALLEST_PICTURE, (width_inches - fixed) / across)


def _draw_item(
    figure: Figure,
    item: DetectionItem,
    colours: Mapping[str, str],
    min_score: float,
    scales: Sequence[int],
    left: float,
    top: float,
    height: float,
) -> float:
    """Draw one picture and its routing with their upper left corner at (left, top); return their right edge."""
    shown, width = item.shown(min_score), height * item.aspect
    image = item.image
    if item.masks is not None:
        behind = shown[::-1]
        image = paint_masks(image, (item.masks[k] for k in behind), (colours[item.names[k]] for k in behind))
    extent = (0, image.shape[1], image.shape[0], 0)
    axes = picture_at(figure, image, left, top, (width, height), extent=extent)
    axes.set_gid("picture")
    for box in item.true_boxes:
        _draw_box(axes, box, _TRUTH, "truth")
    for k in reversed(shown):
        _draw_box(axes, item.boxes[k], colours[item.names[k]], "box")
    _write_labels(figure, axes, item, shown, colours, (width, height))
    frame(axes)

    right, below, room = left + width, top - height, 2
    title = f"{item.title} · {len(shown)} of {len(item.scores)} detections score {min_score:.2f} or more"
    if item.routing is not None:
        panel = (height - (len(scales) - 1) * STRIP) / len(scales)
        right = draw_nodes(figure, item.routing, scales, right + GUTTER, top, panel)
        below, room = below - STRIP, 1
        title += "" if item.routing.gmacs is None else f" · {item.routing.gmacs:.3g} GMACs"
    write_lines(figure, wrap_to_width(figure, title, SMALL, right - left, room), left, below - 0.03, LINE)
    return right


def _draw_truth_swatch(axes: Axes, name: str) -> None:
    """An annotated box in the legend, whatever its entry is called."""
    del name
    _draw_box(axes, np.array([0, 0, 1, 1]), _TRUTH, "truth")


def _draw_box(axes: Axes, box: np.ndarray, colour: str, kind: str) -> None:
    """The outline of a box, with a thin line of the opposite brightness around it so that it shows on any picture."""
    halo = withStroke(linewidth=2.2, foreground=INK if _is_light(colour) else "white")
    corner, size = (float(box[0]), float(box[1])), (float(box[2] - box[0]), float(box[3] - box[1]))
    patch = Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=1.2, path_effects=[halo], gid=kind)
    if kind == "truth":
        patch.set(linestyle=(0, (3, 2)), linewidth=0.9, path_effects=[withStroke(linewidth=1.7, foreground=INK)])
    axes.add_patch(patch)


def _write_labels(
    figure: Figure,
    axes: Axes,
    item: DetectionItem,
    shown: Sequence[int],
    colours: Mapping[str, str],
    size: tuple[float, float],
) -> None:
    """Class and score at each box, best first; a label that would cover another or leave the picture is left out."""
    scale = size[1] / item.image.shape[0]
    picture, placed = Bbox.from_bounds(0, 0, *size), []
    for k in shown:
        text, colour = f"{item.names[k]} {item.scores[k]:.2f}", colours[item.names[k]]
        width, height = text_width(figure, text, SMALL) + 2 * _LABEL_AIR, LINE - 0.02
        x1, y1, x2, y2 = (float(edge) * scale for edge in item.boxes[k])
        # Above the box, inside at its top, below it, inside at its bottom; each at its left and at its right.
        rows = (y1 - height, y1, y2, y2 - height)
        ways = [Bbox.from_bounds(x, y, width, height) for y in rows for x in (x1, x2 - width)]
        # Shifted into the picture where it stands out by less than the label is wide.
        ways = [_shifted_into(way, picture) for way in ways]
        free = [way for way in ways if not any(_overlap(way, other) for other in placed)]
        if not free:
            continue
        placed.append(free[0])
        ink = INK if _is_light(colour) else "white"
        place = free[0].x0 / scale, free[0].y0 / scale
        spot = (free[0].width / scale, free[0].height / scale)
        axes.add_patch(Rectangle(place, *spot, facecolor=colour, edgecolor="none", gid="label"))
        middle = (place[0] + spot[0] / 2, place[1] + spot[1] / 2)
        axes.text(*middle, text, fontsize=SMALL, color=ink, ha="center", va="center_baseline")


def _shifted_into(box: Bbox, room: Bbox) -> Bbox:
    x = max(room.x0, min(box.x0, room.x1 - box.width))
    y = max(room.y0, min(box.y0, room.y1 - box.height))
    return Bbox.from_bounds(x, y, box.width, box.height)


def _overlap(one: Bbox, other: Bbox) -> bool:
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


def _is_light(colour: str) -> bool:
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
