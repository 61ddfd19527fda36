"""Figure 3 of DiT: which tokens each stage processed, at every scale, drawn over the picture itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dit_bench.report.figures.style import (
    GREY,
    INK,
    PALE,
    SMALL,
    STRIDES,
    figure_style,
    new_figure,
    text_width,
    wrap_to_width,
)
from dit_bench.report.numbers import percent

_HATCH = "//////"
_NOT_LIVE = "#ededed"

# Sizes in inches.
_STRIP = 0.15
"""Line below each panel that holds its kept percentage."""
_LINE = 0.13
_HEAD = 0.2
"""Room above an item for the names of its stages."""
_SIDE = 0.2
"""Room right of an item for the names of the strides."""
_GUTTER = 0.18
_MARGIN = 0.03
_FOOT = 0.28
_LARGEST_PANEL = 1.1


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


def compose_panel(image: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The picture where tokens are kept and white where they are skipped: uint8 (H, W, 3).

    Token (r, c) of an (h, w) map covers its proportional share of the picture, so that both may differ in resolution.
    """
    height, width = image.shape[:2]
    rows = np.arange(height) * kept.shape[0] // height
    columns = np.arange(width) * kept.shape[1] // width
    return np.where(kept[np.ix_(rows, columns)][..., None], image, np.uint8(255))


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
        body = len(scales) * (panel + _STRIP)
        height = _MARGIN + len(lines) * (_HEAD + body) + (len(lines) - 1) * _GUTTER + _FOOT
        figure = new_figure(width_inches, height)
        for index, line in enumerate(lines):
            left, top = _MARGIN, height - _MARGIN - index * (_HEAD + body + _GUTTER)
            for item in line:
                left = _draw_item(figure, item, scales, left, top - _HEAD, panel) + _GUTTER
        _draw_key(figure)
    return figure


def _picture_rows(rows: int) -> int:
    """Rows of the grid beside which the picture stands; its title takes what is left below it."""
    return 2 if rows >= 3 else 1


def _panel_height(line: Sequence[RoutingItem], stages: int, rows: int, width_inches: float) -> float:
    """Panel height at which these pictures fill the width: each needs a picture and `stages` panels of its aspect."""
    aspects = [item.image.shape[1] / item.image.shape[0] for item in line]
    beside = _picture_rows(rows)
    fixed = 2 * _MARGIN + (len(line) - 1) * _GUTTER + len(line) * _SIDE
    fixed += sum((beside - 1) * _STRIP * aspect for aspect in aspects)
    return min(_LARGEST_PANEL, (width_inches - fixed) / sum((beside + stages) * aspect for aspect in aspects))


def _draw_item(
    figure: Figure, item: RoutingItem, scales: Sequence[int], left: float, top: float, panel: float
) -> float:
    """Draw one picture and its grid with their upper left corner at (left, top) inches; return their right edge."""
    stages = item.live.shape[1]
    aspect = item.image.shape[1] / item.image.shape[0]
    cell, side = panel * aspect, _picture_rows(len(scales)) * (panel + _STRIP) - _STRIP
    picture = _axes(figure, left, top - side, side * aspect, side)
    picture.imshow(item.image, aspect="auto", interpolation="antialiased")
    _frame(picture)
    _write_title(figure, item, left, top - side, side * aspect, len(scales) * (panel + _STRIP) - side)

    grid_left = left + side * aspect
    for stage in range(stages):
        x = grid_left + stage * cell
        # In narrow panels the word once and bare numbers after it.
        name = f"Stage {stage + 1}" if stage == 0 or cell > text_width(figure, "Stage 1  ", SMALL) else str(stage + 1)
        _text(figure, x + cell / 2, top + 0.04, name, ha="center", va="bottom", color=GREY)
        for row, scale in enumerate(scales):
            y = top - (row + 1) * (panel + _STRIP)
            _draw_panel(figure, item, scale, stage, (x, y, cell, panel))
    right = grid_left + stages * cell
    for row, scale in enumerate(scales):
        y = top - row * (panel + _STRIP) - panel / 2
        _text(figure, right + 0.05, y, f"Stride {STRIDES[scale]}", ha="left", va="center", color=GREY, rotation=270)
    return right + _SIDE


def _draw_panel(
    figure: Figure, item: RoutingItem, scale: int, stage: int, box: tuple[float, float, float, float]
) -> None:
    """One node: the masked picture, and the kept percentage in the strip below it."""
    x, y, width, height = box
    axes = _axes(figure, x, y + _STRIP, width, height)
    axes.set_gid(f"panel-{scale}-{stage}")
    if item.live[scale, stage]:
        kept = item.kept[scale, stage]
        axes.imshow(compose_panel(item.image, kept), aspect="auto", interpolation="antialiased")
        label = percent(float(kept.mean()))
    else:
        patch = Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor=_NOT_LIVE, edgecolor=PALE, hatch=_HATCH)
        axes.add_patch(patch)
        label = "—"
    _frame(axes)
    _text(figure, x + width / 2, y + _STRIP / 2, label, ha="center", va="center", color=INK)


def _write_title(figure: Figure, item: RoutingItem, left: float, top: float, width: float, height: float) -> None:
    """Title and cost below the picture, in as many lines as the space takes."""
    room = max(1, int((height - 0.02) / _LINE))
    cost = [] if item.gmacs is None else [f"{item.gmacs:.3g} GMACs"]
    if room == 1:
        lines = wrap_to_width(figure, " · ".join([item.title, *cost]), SMALL, width, 1)
    else:
        lines = wrap_to_width(figure, item.title, SMALL, width, room - len(cost)) + cost
    for index, line in enumerate(lines):
        _text(figure, left, top - 0.04 - _LINE * index, line, ha="left", va="top", color=INK)


def _draw_key(figure: Figure) -> None:
    """What white and hatched areas and the percentages mean, at the foot of the figure."""
    x, y = _MARGIN, 0.05
    for colour, hatch, label in (("white", None, "skipped (identity)"), (_NOT_LIVE, _HATCH, "scale not live")):
        axes = _axes(figure, x, y, 0.16, 0.12)
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor=colour, edgecolor=PALE, hatch=hatch))
        _frame(axes)
        _text(figure, x + 0.21, y + 0.06, label, ha="left", va="center", color=GREY)
        x += 0.21 + text_width(figure, label, SMALL) + 0.3
    _text(figure, x, y + 0.06, "%: tokens kept", ha="left", va="center", color=GREY)


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def _text(figure: Figure, x: float, y: float, text: str, **properties):
    across, up = figure.get_size_inches()
    return figure.text(x / across, y / up, text, fontsize=SMALL, **properties)


def _frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=PALE, linewidth=0.6)
