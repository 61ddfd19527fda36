"""Pictures with the tokens that left a network after each of its stages, and what it took their pixels for."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dit_bench.report.figures.class_legend import LINE, draw_legend, legend_height, legend_places
from dit_bench.report.figures.label_maps import MAPS_APART, ClassColours, LabelledPicture, draw_headed, draw_other
from dit_bench.report.figures.panels import HEAD, MARGIN, STRIP, axes_at, frame, over_pixels, text_at, write_lines
from dit_bench.report.figures.style import INK, PALE, SMALL, figure_style, new_figure, text_width, wrap_to_width
from dit_bench.report.numbers import percent

_EARLIEST, _LATEST = "#f3c9f7", "#521a94"
"""Colours of the first and the last stage that tokens leave after, unlike those of the largest classes."""
_OPACITY = 0.7
_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""

# Sizes in inches.
_TALLEST_PICTURE = 2.6
_LINES_APART = 0.08
_BAR = 0.05
_LEGENDS_APART = 0.04


@dataclass(frozen=True)
class PruningItem(LabelledPicture):
    """One picture with the class of each pixel, and the tokens that left on the way there.

    `exits` is int8 (h, w): the stage, from 1, whose head was the last to see a token; the number of stages where it
    stayed to the end. `gmacs` is what this picture cost, in GMACs, and `macs_share` that over what it would have cost
    had no token left; None leaves either out.
    """

    exits: np.ndarray = field(kw_only=True)
    gmacs: float | None = None
    macs_share: float | None = None

    @property
    def caption(self) -> str:
        """Its title, how much of it was recognised, and its cost."""
        parts = [super().caption]
        if self.gmacs is not None:
            parts.append(f"{self.gmacs:.3g} GMACs")
        if self.macs_share is not None:
            parts.append(f"{percent(self.macs_share)} of unpruned MACs")
        return " · ".join(parts)

    def shares(self, stages: int) -> np.ndarray:
        """Shares (M,) of the tokens whose last stage was each."""
        return np.bincount(self.exits.ravel() - 1, minlength=stages) / self.exits.size


def draw_pruning(
    items: Sequence[PruningItem], class_names: Sequence[str], stage_names: Sequence[str], *, width_inches: float = 7.0
) -> Figure:
    """Draw a line of each picture: itself, its tokens, the predicted and, where it is known, the true classes.

    Tokens that left are veiled in the colour of their stage, those that stayed are not; the bar below has the shares of
    the picture's tokens. `stage_names` are M, such as `layer 6`. The first legend at the foot names the stages, with
    the shares in all pictures, the second the classes, as `draw_segments` does. The figure is `width_inches` wide; its
    height follows.
    """
    assert items, "nothing to draw"
    stages = len(stage_names)
    assert all(item.exits.min() >= 1 and item.exits.max() <= stages for item in items), "exits beyond the stages"
    veils = _stage_colours(stages - 1)
    colours = ClassColours.of(items, class_names)
    columns = 2 + max(len(item.maps) for item in items)
    with figure_style():
        heights = [_picture_height(item, columns, width_inches) for item in items]
        shares = np.average([item.shares(stages) for item in items], axis=0, weights=[i.exits.size for i in items])
        names = _legend_names(stage_names, shares)
        of_stages, of_classes = (legend_places(entries, width_inches) for entries in (names, colours.names))
        foot = legend_height(of_stages) + _LEGENDS_APART + legend_height(of_classes)
        body = sum(heights) + len(items) * (HEAD + _BAR + STRIP + LINE + _LINES_APART)
        figure = new_figure(width_inches, body + foot + 2 * MARGIN)
        top = body + foot + MARGIN
        for item, height in zip(items, heights, strict=True):
            _draw_item(figure, item, colours, veils, top - HEAD, height)
            top -= HEAD + height + _BAR + STRIP + LINE + _LINES_APART
        draw_legend(figure, of_stages, dict(zip(names, veils, strict=False)), MARGIN + foot, _draw_unveiled)
        draw_legend(figure, of_classes, colours.named, MARGIN + legend_height(of_classes), draw_other)
    return figure


def _stage_colours(stages: int) -> list[str]:
    """A colour for each stage that tokens can leave after, from light to dark in their order."""
    return [to_hex(colour) for colour in np.linspace(to_rgb(_EARLIEST), to_rgb(_LATEST), stages)]


def _legend_names(stage_names: Sequence[str], shares: np.ndarray) -> list[str]:
    """What became of the tokens, in the order of the stages."""
    *left, stayed = (percent(float(share)) for share in shares)
    names = [f"{share} left after {name}" for name, share in zip(stage_names, left, strict=False)]
    return [*names, f"{stayed} stayed to the end ({stage_names[-1]})"]


def _picture_height(item: PruningItem, columns: int, width_inches: float) -> float:
    """The height at which so many pictures fill the width."""
    room = width_inches - 2 * MARGIN - (columns - 1) * MAPS_APART
    return min(_TALLEST_PICTURE, room / (columns * item.aspect))


def veil_tokens(image: np.ndarray, exits: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """The picture uint8 (H, W, 3) with each token that left in grey under the colour of its stage, of M − 1."""
    stages = over_pixels(exits, image)
    veiled = image.astype(np.float64)
    for stage, colour in enumerate(colours, start=1):
        gone = stages == stage
        grey = image[gone] @ np.array(_LUMA)
        veiled[gone] = (1 - _OPACITY) * grey[:, None] + _OPACITY * 255 * np.array(to_rgb(colour))
    return veiled.round().astype(np.uint8)


def _draw_item(
    figure: Figure, item: PruningItem, colours: ClassColours, veils: Sequence[str], top: float, height: float
) -> None:
    """Draw one picture with its tokens and its maps, their upper edge at `top`."""
    width = height * item.aspect
    shown = {"Picture": item.image, "Tokens": veil_tokens(item.image, item.exits, veils)}
    # What was predicted stands beside what it was predicted from.
    shown |= {name: colours.table[labels] for name, labels in reversed(item.maps.items())}
    for place, (heading, pixels) in enumerate(shown.items()):
        draw_headed(figure, heading, pixels, MARGIN + place * (width + MAPS_APART), top, (width, height))
    _draw_shares(figure, item.shares(len(veils) + 1), veils, MARGIN + width + MAPS_APART, top - height, width)
    below = top - height - _BAR - STRIP
    room = figure.get_size_inches()[0] - 2 * MARGIN
    write_lines(figure, wrap_to_width(figure, item.caption, SMALL, room, 1), MARGIN, below, LINE)


def _draw_shares(
    figure: Figure, shares: np.ndarray, veils: Sequence[str], left: float, top: float, width: float
) -> None:
    """A bar with the share of each stage in its colour, and below it the shares in words if there is room."""
    axes = axes_at(figure, left, top - _BAR, width, _BAR)
    axes.set_gid("shares")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    start = 0.0
    for share, colour in zip(shares, [*veils, "white"], strict=True):
        axes.add_patch(Rectangle((start, 0), share, 1, facecolor=colour, edgecolor="none"))
        start += share
    frame(axes)
    written = [percent(float(share)) for share in shares]
    for text in (" · ".join(written), " · ".join(share.removesuffix(" %") for share in written)):
        if text_width(figure, text, SMALL) <= width:
            middle = top - _BAR - STRIP / 2
            text_at(figure, left + width / 2, middle, text, ha="center", va="center", color=INK)
            return


def _draw_unveiled(axes: Axes, _: str) -> None:
    """The swatch of tokens that stayed."""
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor="white", edgecolor=PALE, linewidth=0.6))
