"""The grid of nodes that shows a routing, and what figures are put together with.

Places and sizes are in inches from the lower left corner of the figure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from dit_bench.report.figures.style import GREY, INK, PALE, SMALL, STRIDES, text_width
from dit_bench.report.numbers import percent

HATCH = "//////"
NOT_LIVE = "#ededed"

STRIP = 0.15
"""Line below each panel that holds its kept percentage."""
HEAD = 0.2
"""Room above an item for the names of its stages."""
SIDE = 0.2
"""Room right of an item for the names of the strides."""
GUTTER = 0.18
MARGIN = 0.03
FOOT = 0.28
"""Room for the key."""


@dataclass(frozen=True)
class RoutingItem:
    """One picture with its routing.

    `image` is uint8 (H, W, 3) as the network saw it. `kept[scale, stage]` is bool (h, w), true where the row gate sent
    the token through the stage. `live` is bool (N, M): whether scale i was live when stage j ran; a node that is not
    live needs no entry in `kept`. `title` names the picture, such as true and predicted label. `gmacs` is what this
    picture cost, in GMACs; None leaves it out.
    """

    image: np.ndarray
    kept: Mapping[tuple[int, int], np.ndarray]
    live: np.ndarray
    title: str
    gmacs: float | None = None

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.image.shape[1] / self.image.shape[0]


def compose_panel(image: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The picture where tokens are kept and white where they are skipped: uint8 (H, W, 3)."""
    return np.where(over_pixels(kept, image)[..., None], image, np.uint8(255))


def over_pixels(tokens: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What an (h, w) map says of tokens, for each pixel of a picture: (H, W).

    Token (r, c) covers its proportional share of the picture, so that both may differ in resolution.
    """
    height, width = image.shape[:2]
    rows = np.arange(height) * tokens.shape[0] // height
    columns = np.arange(width) * tokens.shape[1] // width
    return tokens[np.ix_(rows, columns)]


def draw_nodes(
    figure: Figure, item: RoutingItem, scales: Sequence[int], left: float, top: float, panel: float
) -> float:
    """Draw a routing's stages (columns) at `scales` (rows) and return their right edge.

    (left, top) is the upper left corner of the panels, which are `panel` high; the names of the stages stand above it,
    those of the strides right of the last column. Below each panel stands the percentage of tokens kept.
    """
    cell, stages = panel * item.aspect, item.live.shape[1]
    for stage in range(stages):
        x = left + stage * cell
        # In narrow panels the word once and bare numbers after it.
        name = f"Stage {stage + 1}" if stage == 0 or cell > text_width(figure, "Stage 1  ", SMALL) else str(stage + 1)
        text_at(figure, x + cell / 2, top + 0.04, name, ha="center", va="bottom", color=GREY)
        for row, scale in enumerate(scales):
            y = top - (row + 1) * (panel + STRIP)
            _draw_node(figure, item, scale, stage, (x, y, cell, panel))
    right = left + stages * cell
    for row, scale in enumerate(scales):
        y = top - row * (panel + STRIP) - panel / 2
        text_at(figure, right + 0.05, y, f"Stride {STRIDES[scale]}", ha="left", va="center", color=GREY, rotation=270)
    return right + SIDE


def _draw_node(
    figure: Figure, item: RoutingItem, scale: int, stage: int, box: tuple[float, float, float, float]
) -> None:
    """One node: the masked picture, and the kept percentage in the strip below it."""
    x, y, width, height = box
    axes = axes_at(figure, x, y + STRIP, width, height)
    axes.set_gid(f"panel-{scale}-{stage}")
    if item.live[scale, stage]:
        kept = item.kept[scale, stage]
        axes.imshow(compose_panel(item.image, kept), aspect="auto", interpolation="antialiased")
        label = percent(float(kept.mean()))
    else:
        patch = Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor=NOT_LIVE, edgecolor=PALE, hatch=HATCH)
        axes.add_patch(patch)
        label = "—"
    frame(axes)
    text_at(figure, x + width / 2, y + STRIP / 2, label, ha="center", va="center", color=INK)


def draw_key(figure: Figure) -> None:
    """What white and hatched areas and the percentages mean, at the foot of the figure."""
    x, y = MARGIN, 0.05
    for colour, hatch, label in (("white", None, "skipped (identity)"), (NOT_LIVE, HATCH, "scale not live")):
        axes = axes_at(figure, x, y, 0.16, 0.12)
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor=colour, edgecolor=PALE, hatch=hatch))
        frame(axes)
        text_at(figure, x + 0.21, y + 0.06, label, ha="left", va="center", color=GREY)
        x += 0.21 + text_width(figure, label, SMALL) + 0.3
    text_at(figure, x, y + 0.06, "%: tokens kept", ha="left", va="center", color=GREY)


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def text_at(figure: Figure, x: float, y: float, text: str, **properties) -> Text:
    """Small type at a place given in inches."""
    across, up = figure.get_size_inches()
    return figure.text(x / across, y / up, text, fontsize=SMALL, **properties)


def picture_at(
    figure: Figure, image: np.ndarray, left: float, top: float, size: tuple[float, float], **properties: Any
) -> Axes:
    """A picture uint8 (H, W, 3) of that width and height, with its upper left corner at (left, top)."""
    axes = axes_at(figure, left, top - size[1], *size)
    axes.imshow(image, aspect="auto", interpolation="antialiased", **properties)
    return axes


def write_lines(figure: Figure, lines: Iterable[str], left: float, top: float, apart: float) -> None:
    """Lines of small type below (left, top), `apart` from each other."""
    for number, line in enumerate(lines):
        text_at(figure, left, top - number * apart, line, ha="left", va="top", color=INK)


def in_lines(widths: Iterable[float], room: float, gap: float) -> list[tuple[float, int]]:
    """Left edge and line of entries of these widths, set one after another into lines that are `room` wide."""
    places: list[tuple[float, int]] = []
    x, line = 0.0, 0
    for width in widths:
        if places and x + width > room:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += width + gap
    return places


def frame(axes: Axes) -> None:
    """A thin frame without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=PALE, linewidth=0.6)
